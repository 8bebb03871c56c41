"""The reader's one tool. The benchmark gives its results."""

from fleet_workers.tools import ToolContext, tool


@tool(effect="read")
def read_page(context: ToolContext, number: int) -> str:
    """Give the text of a page."""
    raise NotImplementedError
