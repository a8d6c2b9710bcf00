"""What a run costs: price sheets, the bill, and each request's share of it."""

from .bill import bill, merge
from .requests import request_costs
from .sheet import PriceSheet, price_sheet

__all__ = ["PriceSheet", "bill", "merge", "price_sheet", "request_costs"]
