"""Reads how people sign in from the desk's file."""

from collections.abc import Mapping

from fleet_contracts.errors import ConfigurationError
from fleet_workers.desk_file import DeskFile, OidcSection
from fleet_workers.web.oidc import SingleSignOn
from fleet_workers.web.resources import ConsoleSettings


def console_settings(desk: DeskFile, environment: Mapping[str, str]) -> ConsoleSettings:
    """What the console needs of the file. Nothing is opened.

    Raises:
        ConfigurationError: A variable that the file names is not set.
    """
    return ConsoleSettings(
        sign_in=desk.sign_in,
        single_sign_on=None if desk.oidc is None else _single_sign_on(desk.oidc, environment),
        public_url=desk.public_url,
    )


def _single_sign_on(section: OidcSection, environment: Mapping[str, str]) -> SingleSignOn:
    secret = environment.get(section.client_secret)
    if not secret:
        raise ConfigurationError(
            f"{section.client_secret} is not set: the desk's file names it in oidc.client_secret "
            "as the variable with the provider's secret."
        )
    return SingleSignOn(section, client_secret=secret)
