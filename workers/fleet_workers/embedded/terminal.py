"""What a run shows: lines and a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fleet_workers.embedded.inbox_report import REPORT_WIDTH

_PLAIN_STEPS: Final = 10
"""Lines of progress where there is no terminal to draw a bar on."""


def open_console() -> Console:
    """A console on the standard output, at most `REPORT_WIDTH` columns wide."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal or console.width > REPORT_WIDTH:
        console = Console(highlight=False, soft_wrap=False, width=REPORT_WIDTH)
    return console


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` are done, as the function it gives is told."""
    if not console.is_terminal:
        yield _plain_progress(total)
        return
    columns = (
        TextColumn("working through the inbox"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("inbox", total=total)
        yield lambda done: bar.update(task, completed=done)


def _plain_progress(total: int) -> Callable[[int], None]:
    step = max(1, total // _PLAIN_STEPS)

    def tell(done: int) -> None:
        if done % step == 0 or done == total:
            sys.stdout.write(f"inbox: {done} of {total} done\n")
            sys.stdout.flush()

    return tell
