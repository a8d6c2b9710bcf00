"""The cost of a run: price sheets, the bill, and each request's share of it."""

from .accounting import Accounting, accountings
from .accounts import Usage
from .bill import bill, bill_instances
from .busy import Intervals, merge
from .requests import request_costs
from .sheet import InstanceSheet, PriceSheet, instance_sheet, price_sheet

__all__ = [
    "Accounting",
    "InstanceSheet",
    "Intervals",
    "PriceSheet",
    "Usage",
    "accountings",
    "bill",
    "bill_instances",
    "instance_sheet",
    "merge",
    "price_sheet",
    "request_costs",
]
