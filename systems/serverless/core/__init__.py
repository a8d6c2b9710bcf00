"""Decisions only: no clock, no I/O, no torch, no asyncio. See ``controller.Controller``."""
