"""Signs people in through an OpenID Connect provider: authorization code with PKCE, by Authlib.

What a sign-in must remember (state, nonce, PKCE verifier) follows from one random value that the
browser keeps in a cookie. So any web process can end what another began.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import BaseApp, FrameworkIntegration
from authlib.integrations.base_client.sync_app import OAuth2Mixin
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.httpx_client import OAuth2Client
from joserfc.errors import JoseError

from fleet_contracts.errors import Unavailable
from fleet_workers.desk_file import OidcSection
from fleet_workers.web.errors import SignInRefused
from fleet_workers.web.oidc_claims import Identity, identity_of

_TIMEOUT_SECONDS = 10.0
_FRESH_SECONDS = 3600.0  # then the provider's document and keys are read again
_LEEWAY_SECONDS = 60
_SIGNATURES: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_AGAIN = "Sign in again."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the provider's redirect says."""

    state: str
    code: str
    error: str


class _Provider(OAuth2Mixin, OpenIDMixin, BaseApp):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, held to the issuer that is configured and to real signatures."""

    client_cls = OAuth2Client
    server_metadata: dict[str, Any]

    def __init__(self, section: OidcSection, *, client_secret: str) -> None:
        issuer = section.issuer.rstrip("/")
        super().__init__(
            FrameworkIntegration("fleet"),
            client_id=section.client_id,
            client_secret=client_secret,
            server_metadata_url=f"{issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(section.scopes),
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_SECONDS,
            },
        )
        self._issuer = section.issuer

    def load_server_metadata(self) -> dict[str, Any]:
        """The provider's document, read again every hour.

        Raises:
            SignInRefused: It is another provider's, or offers no signature that we take.
        """
        read_at = self.server_metadata.get("_loaded_at")
        if read_at is not None:
            if read_at > time.time() - _FRESH_SECONDS:
                return self.server_metadata
            self.server_metadata = {}
        found: dict[str, Any] = super().load_server_metadata()
        try:
            self._hold_to_rules(found)
        except SignInRefused:
            self.server_metadata = {}
            raise
        return found

    def _hold_to_rules(self, found: dict[str, Any]) -> None:
        if found.get("issuer") != self._issuer:
            raise SignInRefused(
                f"The provider calls itself {str(found.get('issuer'))[:200]!r}, the desk's file "
                f"{self._issuer!r}: an operator must correct oidc.issuer."
            )
        offered = found.get("id_token_signing_alg_values_supported") or ["RS256"]
        taken = sorted(_SIGNATURES.intersection(offered))
        if not taken:
            raise SignInRefused(
                "The provider offers no signature with a public key: an operator must turn one on, "
                "such as RS256."
            )
        found["id_token_signing_alg_values_supported"] = taken
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" not in methods and "client_secret_post" in methods:
            way = "client_secret_post"
            self.client_kwargs["token_endpoint_auth_method"] = way


class SingleSignOn:
    """One provider. Its document is read at the first sign-in, so that a start needs it not."""

    def __init__(self, section: OidcSection, *, client_secret: str) -> None:
        self._section = section
        self._provider = _Provider(section, client_secret=client_secret)

    @property
    def title(self) -> str:
        """What the button for it says."""
        return self._section.title

    def begin(self, flow: str, *, redirect_uri: str) -> str:
        """The address to which a browser goes to sign in. `flow` is `new_flow()`.

        Raises:
            SignInRefused: The provider's settings do not fit; the text names the remedy.
            Unavailable: The provider is away.
        """
        with _provider_errors():
            begun = self._provider.create_authorization_url(
                redirect_uri,
                state=_derived(flow, "state"),
                nonce=_derived(flow, "nonce"),
                code_verifier=_derived(flow, "verifier"),
            )
        return str(begun["url"])

    def finish(self, flow: str, answer: Answer, *, redirect_uri: str) -> Identity:
        """Who came back from the provider with `answer`, after `begin` with the same `flow`.

        Raises:
            SignInRefused: The answer is not to this flow, or the provider does not vouch for
                somebody whom the configuration lets in; the text says why.
            Unavailable: The provider is away.
        """
        expected = _derived(flow, "state").encode()
        if not flow or not hmac.compare_digest(answer.state.encode("utf-8", "replace"), expected):
            raise SignInRefused(f"This answer is to no sign-in of this browser. {_AGAIN}")
        if answer.error or not answer.code:
            raise SignInRefused(f"The provider said: {answer.error[:100] or 'nothing'}. {_AGAIN}")
        with _provider_errors():
            token = self._provider.fetch_access_token(
                redirect_uri,
                code=answer.code,
                grant_type="authorization_code",
                code_verifier=_derived(flow, "verifier"),
            )
            claims = self._verified_claims(token, nonce=_derived(flow, "nonce"))
        return identity_of(claims, self._section)

    def _verified_claims(self, token: Mapping[str, Any], *, nonce: str) -> Mapping[str, Any]:
        if not token.get("id_token"):
            raise SignInRefused("The provider sent no ID token: an operator must ask for openid.")
        options = {
            "iss": {"essential": True, "value": self._section.issuer},
            "aud": {"essential": True, "value": self._section.client_id},
        }
        proved: dict[str, Any] = self._provider.parse_id_token(
            token, nonce, claims_options=options, leeway=_LEEWAY_SECONDS
        )
        address = self._provider.load_server_metadata().get("userinfo_endpoint")
        if "email" in proved or address is None:
            return proved
        told = self._provider.userinfo(token=dict(token))
        if told.get("sub") != proved["sub"]:
            raise SignInRefused(f"The provider told of somebody else. {_AGAIN}")
        return {**told, **proved}


def new_flow() -> str:
    """256 random bits for one sign-in; the browser keeps them until it comes back."""
    return secrets.token_urlsafe(32)


def _derived(flow: str, purpose: str) -> str:
    found = hmac.digest(flow.encode("utf-8", "replace"), f"oidc {purpose}".encode(), "sha256")
    return urlsafe_b64encode(found).rstrip(b"=").decode()


@contextmanager
def _provider_errors() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError as error:
        raise Unavailable(f"The provider does not answer: {error}.") from error
    except (AuthlibBaseError, JoseError) as error:
        _log.warning("web.oidc_refused", error=str(error))
        raise SignInRefused(
            f"The provider's answer was not accepted ({error}). {_AGAIN}"
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        _log.warning("web.oidc_broken", error=repr(error))
        raise SignInRefused(f"The provider's answer cannot be read. {_AGAIN}") from error
