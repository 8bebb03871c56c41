"""Reports unexpected errors to Sentry, without anything that a customer wrote."""

import sentry_sdk


def configure_sentry(dsn: str | None) -> None:
    """Start reporting where a DSN is set. Local variables and bodies hold requests: they stay."""
    if dsn:
        sentry_sdk.init(
            dsn=dsn,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
        )
