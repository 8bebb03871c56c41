"""`fleetctl schemas`: the published forms of all messages, written as files."""

import json
from pathlib import Path
from typing import Annotated

import typer


def write_schemas(
    folder: Annotated[Path, typer.Argument(help="Where the files go; it is made.")],
) -> None:
    """Write JSON Schemas and the AsyncAPI document of what other services send and get."""
    from fleet_contracts.asyncapi import asyncapi_document
    from fleet_contracts.schemas import PUBLISHED, json_schema

    documents = {name: json_schema(name) for name in PUBLISHED}
    documents["asyncapi"] = asyncapi_document()
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        typer.echo(path)
