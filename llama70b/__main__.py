"""`python -m llama70b`."""


def main() -> None:
    """Run the command line."""
