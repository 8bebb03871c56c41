"""The Celery application and all of its settings, each with its reason."""

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Queue

from fleet_contracts.topology import agent_address, is_rabbitmq
from fleet_workers.broker.connection import WorkerConnection
from fleet_workers.broker.queues import AGENTS, agent_queue
from fleet_workers.settings import load_settings


def celery_settings() -> dict[str, Any]:
    """What Celery is told. Read from the environment when Celery first asks."""
    broker_url = load_settings().broker_url
    return {
        "broker_url": broker_url,
        # A message leaves the broker when its task has reached the store, not when it is read.
        "task_acks_late": True,
        # A killed worker's message comes back instead of counting as done.
        "task_reject_on_worker_lost": True,
        # An exception must not acknowledge: without these two the message would be dropped.
        "task_acks_on_failure": False,
        "task_acks_on_timeout": False,
        # One message a slot, and some more that are only taken in: what a busy worker took in
        # stands in the store, where any other finds it.
        "worker_prefetch_multiplier": 1,
        # After a lost connection messages come again, and are known: there is no need for less.
        "worker_enable_prefetch_count_reduction": False,
        # The store holds results; Celery's would fail every publish when its back end is down.
        "task_ignore_result": True,
        "result_backend": None,
        # Every queue that Celery itself makes would be of the durable kind, too.
        "task_default_queue_type": "quorum",
        "task_default_exchange": AGENTS.name,
        "task_default_exchange_type": "topic",
        # Quorum queues have no global prefetch; Celery then limits each consumer.
        "worker_detect_quorum_queues": True,
        # Any Celery client's `agent.NAME` goes to that agent's queue without further settings.
        "task_routes": (route_task,),
        "task_create_missing_queues": False,
        "broker_transport_options": _transport_options(broker_url),
        "broker_connection_retry_on_startup": True,
        # JSON only: a message can never run code.
        "accept_content": ["json"],
        "task_serializer": "json",
        # Flower shows who works on what.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        # Logs are structlog's.
        "worker_hijack_root_logger": False,
        # Tasks in flight survive a lost connection: their claim stands in the store.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def route_task(name: str, *_call: Any, **_details: Any) -> dict[str, str] | None:
    """An agent's task goes to the exchange under its own name, which is its queue's name."""
    if name.startswith(agent_address("")):
        return {"exchange": AGENTS.name, "exchange_type": "topic", "routing_key": name}
    return None


def _transport_options(broker_url: str) -> dict[str, Any]:
    if is_rabbitmq(broker_url):
        return {"confirm_publish": True}
    # A message whose worker died before the store knew of the task comes back after this time.
    # One whose task only takes longer comes back, too: the claim finds it held, at no harm.
    return {
        "visibility_timeout": 30,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": 100,
        # A worker killed while it looks for such messages would keep the others from it for 300 s.
        "unacked_mutex_expire": 10,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
    }


def consumed_queues(agents: tuple[str, ...]) -> list[Queue]:
    """The queues of a pool."""
    return [agent_queue(agent) for agent in agents]


class FleetMessaging(AMQP):
    """Celery's messaging over the fleet's connections."""

    Connection = WorkerConnection


app = Celery("fleet", set_as_current=False, amqp=FleetMessaging)
app.add_defaults(celery_settings)
