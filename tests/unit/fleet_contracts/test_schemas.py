"""What is published of the messages is true to the code, and others can read it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fleet_contracts.asyncapi import asyncapi_document
from fleet_contracts.schemas import PUBLISHED, json_schema
from fleet_workers.cli.schemas import write_schemas
from support.npm_package import npm_package

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_files_are_those_that_the_command_writes(tmp_path: Path) -> None:
    write_schemas(tmp_path / "new")
    written = {path.name: path.read_text() for path in (tmp_path / "new").iterdir()}
    published = {path.name: path.read_text() for path in SCHEMAS.iterdir()}
    assert published == written, f"run `fleetctl schemas {SCHEMAS}`"


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(name))


def references_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references_in(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(references_in(each) for each in value))
    return set()


def test_all_that_the_asyncapi_document_refers_to_is_in_it() -> None:
    document = asyncapi_document()
    for reference in references_in(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


def test_the_document_is_asyncapi(tmp_path_factory: pytest.TempPathFactory) -> None:
    modules = npm_package(tmp_path_factory.mktemp("npm"), "@asyncapi/specs", "6.11.1")
    schema = modules / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    document = asyncapi_document()
    assert list(validator.iter_errors(document)) == []
    document["operations"]["takeTask"]["action"] = "swallow"
    assert list(validator.iter_errors(document))
