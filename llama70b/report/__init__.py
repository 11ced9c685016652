"""What a ledger says: figures, tables, one page with plots, and advice."""

from llama70b.report.figures import Usage, usage

__all__ = ["Usage", "usage"]
