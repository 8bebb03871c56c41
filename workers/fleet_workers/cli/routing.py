"""`fleetctl agents route`: what the router says of a text, and which examples it goes by."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleet_contracts.errors import ConfigurationError, InvalidInput
from fleet_workers.cli.terminal import console, new_table
from fleet_workers.settings import load_settings

if TYPE_CHECKING:
    from fleet_workers.routing.examples import Labelled
    from fleet_workers.routing.intents import IntentRouter
    from fleet_workers.routing.verdict import Verdict

_SAID = {
    "sure": "It goes to {agent}; no model is asked.",
    "unsure": "A model chooses; the router's guess is {agent}.",
    "out_of_scope": "It goes to a person: no agent has an example that is like it.",
}


def show_route(
    text: Annotated[str, typer.Argument(help="A customer's request; - reads standard input.")],
    nearest: Annotated[int, typer.Option(min=0, max=50, help="How many examples to show.")] = 5,
) -> None:
    """Say where a request of `auto` would go, with the examples that are most like it."""
    from contextlib import closing

    from fleet_workers.agents import load_catalogue
    from fleet_workers.models.embeddings import embedder_of
    from fleet_workers.rails.inbound import inbound_verdict
    from fleet_workers.rails.normalise import normalise
    from fleet_workers.rails.personal_data import Masker
    from fleet_workers.routing.examples import examples_of
    from fleet_workers.routing.intents import IntentRouter

    asked = sys.stdin.read() if text == "-" else text
    if not asked.strip():
        raise InvalidInput("The text is empty: give a request, in quotes.")
    settings = load_settings()
    examples = examples_of(load_catalogue(settings.agents_path))
    if not examples:
        raise ConfigurationError("No agent is installed here: set FLEET_AGENTS_PATH.")
    with closing(embedder_of(settings)) as embedder:
        router = IntentRouter.train(examples, embedder=embedder)
        masked = Masker().mask(normalise(asked).text)
        _show(router, router.route(masked), examples)
        _show_neighbours(router, masked, nearest)
    if inbound_verdict(asked)["signals"]:
        console.print("It shows signs of manipulation: a model chooses, whatever stands here.")
    if not settings.router:
        console.print("FLEET_ROUTER is off: a model chooses for every request.")


def _show(router: "IntentRouter", verdict: "Verdict", examples: "list[Labelled]") -> None:
    console.print(_SAID[verdict.zone].format(agent=verdict.agent), soft_wrap=True)
    table = new_table("what", "value")
    table.add_row("agent", f"{verdict.agent}, probability {verdict.probability:.2f}")
    if verdict.intent:
        table.add_row("intent", f"{verdict.intent}, probability {verdict.intent_probability:.2f}")
    table.add_row("nearest example", f"cosine {verdict.cosine:.2f}")
    table.add_row("score", f"{verdict.score:.3f}")
    table.add_row("sure above", _bound(verdict.sure_above))
    table.add_row("out of scope below", _bound(verdict.out_below))
    table.add_row("learned from", f"{router.size} examples, {router.name}")
    console.print(table)
    _show_lacking(examples)


def _show_lacking(examples: "list[Labelled]") -> None:
    from fleet_workers.routing.sufficiency import MISROUTED, TURNED_AWAY, lacking, needed_for

    agents = [each.agent for each in examples]
    for share, what in ((MISROUTED, "being sure"), (TURNED_AWAY, "telling out of scope")):
        few = ", ".join(f"{name} has {count}" for name, count in lacking(agents, share).items())
        if few:
            console.print(
                f"Too few examples for {what}: {few}, {needed_for(share)} are needed. "
                "Add requests to examples.jsonl in the agent's folder.",
                soft_wrap=True,
            )


def _show_neighbours(router: "IntentRouter", text: str, count: int) -> None:
    if not count:
        return
    table = new_table("cosine", "agent", "intent", "example")
    for each in router.neighbours(text, count):
        table.add_row(f"{each.cosine:.2f}", each.agent, each.intent or "", escape(each.text))
    console.print(table)


def _bound(value: float | None) -> str:
    return "too few examples to say" if value is None else f"{value:.3f}"
