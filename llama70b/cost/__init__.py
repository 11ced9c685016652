"""What the endpoint costs: prices as dated data, container-seconds, and their exact allocation to answers.

A scale-to-zero container is paid by the second it is up, whatever it does: booting, answering, waiting for more. So the
cost of an answer is not its tokens' but its share of these seconds, see `cycles` and `allocate`.
"""

from llama70b._cost import answer_cost
from llama70b.cost.budget import Budget, Finding, Spent, check
from llama70b.cost.closed_form import (
    Container,
    Economics,
    Replay,
    replay,
    sibling_break_even,
    sibling_saving,
    simulated,
    steady_state,
)
from llama70b.cost.cycles import Allocation, Cycle, Share, allocate, cycles
from llama70b.cost.prices import (
    ApiPrice,
    Deployment,
    Price,
    PriceTable,
    ProfilePrice,
    deployment_from_env,
    price_from_env,
    price_table,
    size_of,
)
from llama70b.cost.reconcile import Billing, ModalBilling, Reconciliation, reconcile

__all__ = [
    "Allocation",
    "ApiPrice",
    "Billing",
    "Budget",
    "Container",
    "Cycle",
    "Deployment",
    "Economics",
    "Finding",
    "ModalBilling",
    "Price",
    "PriceTable",
    "ProfilePrice",
    "Reconciliation",
    "Replay",
    "Share",
    "Spent",
    "allocate",
    "answer_cost",
    "check",
    "cycles",
    "deployment_from_env",
    "price_from_env",
    "price_table",
    "reconcile",
    "replay",
    "sibling_break_even",
    "sibling_saving",
    "simulated",
    "size_of",
    "steady_state",
]
