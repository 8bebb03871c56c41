"""One connection to the broker: confirmed publishing, refused where no queue takes the message."""

import contextlib
from typing import Any

from amqp import exceptions as amqp_errors
from kombu import Exchange, Producer

from fleet_client.connection import FleetConnection
from fleet_client.steps import ConnectionBroken
from fleet_contracts.codec import WireMessage
from fleet_contracts.errors import (
    ConfigurationError,
    FleetError,
    PermanentError,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnknownAgent,
)
from fleet_contracts.topology import AGENTS_EXCHANGE, is_rabbitmq


class BrokerLink:
    """One open connection with one channel, for one thread at a time. Connects when made.

    On AMQP the message is mandatory and confirmed. kombu's other transports keep the exchange's
    bindings in the broker as data, and drop what matches none; there the bindings are read first.

    `usable` is false while a publish is under way, and stays so after one that broke off.

    Raises:
        Unavailable: The broker cannot be reached.
        Unauthorized: The broker refuses the user or the virtual host.
        ConfigurationError: The URL or an installed library does not fit.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self.usable = False
        self._timeout_seconds = timeout_seconds
        self._returned = False
        self._connection = _prepare(url, timeout_seconds)
        self._address = self._connection.as_uri()  # without the password
        try:
            self._connection.ensure_connection(
                max_retries=max(1, len(self._connection.alt) - 1),
                interval_start=0,
                interval_step=0,
                reraise_as_library_errors=False,
            )
            self._channel: Any = self._connection.channel()
            self._confirms = self._connection.transport.driver_type == "amqp"
            self._producer = self._open_producer()
        except Exception as error:
            self.drop()
            raise self._explain_connect(error) from error
        self.usable = True

    def publish(self, message: WireMessage, *, agent: str) -> None:
        """Publish and wait for the confirm.

        Raises:
            UnknownAgent: No queue takes the message.
            ConnectionBroken: Whether the broker took the message is not known.
            TimedOut: No confirm came; whether the broker took the message is not known.
            Unavailable: The broker refuses the message for now.
            Unauthorized: The user may not publish there.
            PermanentError: The broker refuses the message for good.
        """
        self.usable = False
        self._returned = False
        try:
            routed = self._confirms or self._finds_queue(message.routing_key)
            if routed:
                self._send(message)
        except Exception as error:
            raise self._explain_publish(error, agent) from error
        self.usable = True
        if self._returned or not routed:
            raise _no_queue(agent)

    def drop(self) -> None:
        """Close the connection without waiting for the broker, which may be gone."""
        self.usable = False
        with contextlib.suppress(Exception):
            self._connection.collect(socket_timeout=1)

    def _open_producer(self) -> Producer:
        exchange = Exchange(AGENTS_EXCHANGE, type="topic", durable=True)
        if self._confirms:
            # Workers declare the exchange; a publisher may lack the right to.
            return Producer(
                self._channel, exchange, auto_declare=False, on_return=self._note_return
            )
        return Producer(self._channel, exchange)

    def _note_return(self, *_details: Any) -> None:
        self._returned = True

    def _finds_queue(self, routing_key: str) -> bool:
        exchange = self._channel.typeof(AGENTS_EXCHANGE)
        table = self._channel.get_table(AGENTS_EXCHANGE)
        return bool(exchange.lookup(table, AGENTS_EXCHANGE, routing_key, None))

    def _send(self, message: WireMessage) -> None:
        self._producer.publish(
            message.body,
            routing_key=message.routing_key,
            headers=message.headers,
            mandatory=True,
            timeout=self._timeout_seconds,
            confirm_timeout=self._timeout_seconds,
            **message.properties,
        )

    def _explain_publish(self, error: Exception, agent: str) -> FleetError:
        where = self._address
        if isinstance(error, amqp_errors.NotFound):  # the exchange itself
            return _no_queue(agent)
        match error:
            case amqp_errors.MessageNacked():
                return Unavailable(
                    f"The broker at {where} refused the task: the queue of agent {agent!r} is "
                    "full. Try again later, or start more workers."
                )
            case amqp_errors.AccessRefused():
                return Unauthorized(
                    f"The broker at {where} does not let this user publish to the exchange "
                    f"{AGENTS_EXCHANGE!r}: grant it write permission."
                )
            case TimeoutError():
                return TimedOut(
                    f"The broker at {where} confirmed nothing within {self._timeout_seconds:g} s; "
                    "whether it took the task is not known. The same idempotency key makes a "
                    "repeat harmless."
                )
        return self._explain_other(error)

    def _explain_other(self, error: Exception) -> FleetError:
        where = self._address
        if isinstance(error, self._connection.connection_errors):
            return ConnectionBroken(f"The connection to the broker at {where} broke: {error}")
        if self._confirms:
            return PermanentError(f"The broker at {where} refused the task: {error}")
        # Redis answers "out of memory", "read-only replica" and the like as command errors.
        return Unavailable(f"The broker at {where} refused the task for now: {error}")

    def _explain_connect(self, error: Exception) -> FleetError:
        refused = isinstance(error, amqp_errors.AccessRefused | amqp_errors.NotAllowed)
        if refused or "uthenticat" in type(error).__name__ + str(error):
            return Unauthorized(
                f"The broker at {self._address} refuses this user ({error}): check user, password "
                "and virtual host in FLEET_BROKER_URL."
            )
        return Unavailable(
            f"The broker at {self._address} cannot be reached ({error}): is it running, and is "
            "FLEET_BROKER_URL right?"
        )


def _prepare(url: str, timeout_seconds: float) -> FleetConnection:
    scheme = url.partition("://")[0]
    if is_rabbitmq(url):
        options: dict[str, Any] = {"confirm_publish": True}
    else:
        options = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    try:
        connection = FleetConnection(
            url, connect_timeout=timeout_seconds, transport_options=options
        )
        connection.transport  # noqa: B018 - loads the library that speaks the protocol
    except (AttributeError, ImportError) as error:  # kombu without Redis raises the former
        extra = "redis" if scheme.startswith("redis") else scheme
        raise ConfigurationError(
            f"A {scheme}:// broker needs a library that is not installed ({error}): "
            f'pip install "agent-fleet-client[{extra}]".'
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"FLEET_BROKER_URL cannot be used ({error}): give amqp://user:password@host:5672/ "
            "or redis://host:6379/0."
        ) from error
    return connection


def _no_queue(agent: str) -> UnknownAgent:
    return UnknownAgent(
        f"No queue takes tasks for agent {agent!r}: no agent of that name is installed, or no "
        "worker has ever started for it. Check the name with `fleetctl agents list`, or start "
        f"its pool with `fleetctl worker {agent}`."
    )
