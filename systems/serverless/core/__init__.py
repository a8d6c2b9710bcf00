"""Decisions only: no clock, no I/O, no torch, no asyncio. Start at ``controller.Controller``."""
