"""Who answers, the 8B or the 70B: features, a gap model, the endpoints' states, one formula, and a record of it all."""

from llama70b.routing.features import FEATURES, Facts, features
from llama70b.routing.gap import Gap, GapModel, load
from llama70b.routing.gate import Gate
from llama70b.routing.policy import Ask, Decision, Policy, Reason, Tier, World, decide
from llama70b.routing.router import RoutedEndpoint, Router, watched
from llama70b.routing.state import Activity, EndpointState, Option, StateSource

__all__ = [
    "FEATURES",
    "Activity",
    "Ask",
    "Decision",
    "EndpointState",
    "Facts",
    "Gap",
    "GapModel",
    "Gate",
    "Option",
    "Policy",
    "Reason",
    "RoutedEndpoint",
    "Router",
    "StateSource",
    "Tier",
    "World",
    "decide",
    "features",
    "load",
    "watched",
]
