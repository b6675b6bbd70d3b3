"""How a bundle is named among the options of what runs or watches it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from seglab.bundle.aliases import locate_bundle
from seglab.core.errors import ConfigError, SeglabError
from seglab.core.options import Name, broken_rule


def _there(text: str) -> str:
    try:
        locate_bundle(text)
    except SeglabError as error:
        said = error.problems[0] if isinstance(error, ConfigError) else str(error)
        raise broken_rule(said.removeprefix("bundle: ")) from error
    return text


BundleName = Annotated[Name, AfterValidator(_there)]
"""A bundle's folder or zip, or REGISTRY@ALIAS, which must be there before anything is built."""
