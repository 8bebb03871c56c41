"""What the retail agent can look up and do, over the shop's HTTP service."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fleet_contracts.errors import PermanentError
from fleet_workers.tools import ToolContext, tool

OrderId = Annotated[str, Field(pattern=r"^#", description="With its #, as in #W0000000")]
ItemIds = Annotated[list[str], Field(min_length=1, description="Item ids, not product ids")]
_REFUSED = 409


def _ask(context: ToolContext, name: str, **arguments: Any) -> Any:
    response = context.http.post(
        f"{context.environment['RETAIL_URL']}/{name}",
        json=arguments,
        headers={
            "X-Customer": context.customer or "",
            "Idempotency-Key": context.idempotency_key,
        },
    )
    if response.status_code == _REFUSED:
        raise PermanentError(response.json()["error"])
    response.raise_for_status()
    return response.json()


@tool(effect="read", trusted=True)
def find_user_id_by_email(context: ToolContext, email: str) -> str:
    """Find a customer's user id by e-mail address."""
    return str(_ask(context, "find_user_id_by_email", email=email))


@tool(effect="read", trusted=True)
def find_user_id_by_name_zip(
    context: ToolContext,
    first_name: str,
    last_name: str,
    zip: str,  # noqa: A002 the shop's word
) -> str:
    """Find a customer's user id by name and zip code. Use it where the e-mail is not known."""
    return str(
        _ask(
            context,
            "find_user_id_by_name_zip",
            first_name=first_name,
            last_name=last_name,
            zip=zip,
        )
    )


@tool(effect="read", trusted=True)
def get_user_details(context: ToolContext, user_id: str) -> dict[str, Any]:
    """Look up a customer: address, payment methods, orders."""
    return dict(_ask(context, "get_user_details", user_id=user_id))


@tool(effect="read", trusted=True)
def get_order_details(context: ToolContext, order_id: OrderId) -> dict[str, Any]:
    """Look up an order: status, items, payments."""
    return dict(_ask(context, "get_order_details", order_id=order_id))


@tool(effect="read", trusted=True)
def get_product_details(context: ToolContext, product_id: str) -> dict[str, Any]:
    """Look up a product and all its variants."""
    return dict(_ask(context, "get_product_details", product_id=product_id))


@tool(effect="read", trusted=True)
def get_item_details(context: ToolContext, item_id: str) -> dict[str, Any]:
    """Look up one variant by its item id."""
    return dict(_ask(context, "get_item_details", item_id=item_id))


@tool(effect="read", trusted=True)
def calculate(
    context: ToolContext, expression: Annotated[str, Field(pattern=r"^[0-9.+\-*/() ]{1,200}$")]
) -> str:
    """Work out a sum such as 10.50 + 2 * 3."""
    return str(_ask(context, "calculate", expression=expression))


@tool(effect="write", repeat="idempotent", trusted=True)
def cancel_pending_order(
    context: ToolContext,
    order_id: OrderId,
    reason: Literal["no longer needed", "ordered by mistake"],
) -> dict[str, Any]:
    """Cancel an order that is pending and refund it."""
    return dict(_ask(context, "cancel_pending_order", order_id=order_id, reason=reason))


@tool(effect="write", repeat="idempotent", trusted=True)
def modify_pending_order_items(
    context: ToolContext,
    order_id: OrderId,
    item_ids: ItemIds,
    new_item_ids: ItemIds,
    payment_method_id: str,
) -> dict[str, Any]:
    """Change items of a pending order to other variants of the same products, once an order."""
    return _change_items(
        context, "modify_pending_order_items", order_id, item_ids, new_item_ids, payment_method_id
    )


@tool(effect="write", repeat="idempotent", trusted=True)
def exchange_delivered_order_items(
    context: ToolContext,
    order_id: OrderId,
    item_ids: ItemIds,
    new_item_ids: ItemIds,
    payment_method_id: str,
) -> dict[str, Any]:
    """Exchange delivered items for other variants of the same products, once an order."""
    name = "exchange_delivered_order_items"
    return _change_items(context, name, order_id, item_ids, new_item_ids, payment_method_id)


def _change_items(  # noqa: PLR0917 the two tools' own arguments in their order
    context: ToolContext,
    name: str,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> dict[str, Any]:
    return dict(
        _ask(
            context,
            name,
            order_id=order_id,
            item_ids=item_ids,
            new_item_ids=new_item_ids,
            payment_method_id=payment_method_id,
        )
    )


@tool(effect="write", repeat="idempotent", trusted=True)
def return_delivered_order_items(
    context: ToolContext, order_id: OrderId, item_ids: ItemIds, payment_method_id: str
) -> dict[str, Any]:
    """Take delivered items back and refund them."""
    return dict(
        _ask(
            context,
            "return_delivered_order_items",
            order_id=order_id,
            item_ids=item_ids,
            payment_method_id=payment_method_id,
        )
    )


@tool(effect="write", repeat="idempotent", trusted=True)
def modify_pending_order_address(  # noqa: PLR0917 an address has this many parts
    context: ToolContext,
    order_id: OrderId,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,  # noqa: A002 the shop's word
) -> dict[str, Any]:
    """Send a pending order to another address."""
    place = {"address1": address1, "address2": address2, "city": city, "state": state}
    place |= {"country": country, "zip": zip}
    return dict(_ask(context, "modify_pending_order_address", order_id=order_id, **place))


@tool(effect="write", repeat="idempotent", trusted=True)
def modify_user_address(  # noqa: PLR0917 as above
    context: ToolContext,
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,  # noqa: A002 as above
) -> dict[str, Any]:
    """Change a customer's own address."""
    place = {"address1": address1, "address2": address2, "city": city, "state": state}
    place |= {"country": country, "zip": zip}
    return dict(_ask(context, "modify_user_address", user_id=user_id, **place))
