"""A request that is rejected with an error before it reaches the platform."""

from __future__ import annotations

from . import schema


class RefusalError(Exception):
    """``status`` and ``headers`` of the response; ``body``: OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self.body = schema.error(message, kind=schema.error_type(status), code=code, param=param)
