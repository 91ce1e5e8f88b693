"""docs/settings.md lists every variable with the default and the range that the code has."""

import re
from pathlib import Path

import pytest

from app.settings import Settings, variables

ROWS = {
    name: (default, bounds, effect)
    for name, default, bounds, effect in re.findall(
        r"^\| `(DMSR_\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$",
        (Path(__file__).parents[1] / "docs" / "settings.md").read_text(),
        re.MULTILINE,
    )
}


def schemas():
    """Map every variable to its JSON schema."""
    schema = Settings.model_json_schema()
    for name, field in schema["properties"].items():
        group = field.get("$ref", "").rpartition("/")[2]
        properties = schema["$defs"][group]["properties"] if group else {name: field}
        for key, value in properties.items():
            yield (f"DMSR_{name}_{key}" if group else f"DMSR_{name}").upper(), value


def bounds(schema):
    """Say in words what values a variable takes."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    if schema.get("type") not in ("integer", "number"):
        kinds = schema.get("anyOf", ())
        words = [f"`{kind['const']}`" for kind in kinds if "const" in kind]
        return ", ".join(["path", *words]) if any(kind.get("format") == "path" for kind in kinds) else "text"
    if "exclusiveMinimum" in schema:
        return f"> {schema['exclusiveMinimum']:g}"
    if "maximum" in schema:
        return f"{schema['minimum']} – {schema['maximum']}"
    return f"≥ {schema['minimum']}"


def words(default):
    """Write a default as the docs do."""
    if default is None or default == "":
        return "none" if default is None else "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_docs_list_the_variables_in_the_code_s_order():
    assert list(ROWS) == list(variables())


@pytest.mark.parametrize("name", variables())
def test_the_docs_have_the_default(name):
    assert ROWS[name][0] == words(variables()[name][0])


@pytest.mark.parametrize(("name", "schema"), list(schemas()))
def test_the_docs_have_the_range(name, schema):
    assert ROWS[name][1] == bounds(schema)


@pytest.mark.parametrize("name", variables())
def test_the_docs_say_what_it_does(name):
    """The first words are the code's own; more may follow."""
    effect = ROWS[name][2]
    assert effect.lower().startswith(variables()[name][1].lower())
