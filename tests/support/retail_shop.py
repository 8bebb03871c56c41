"""The shop behind the retail agent: its rules, over a database that stays untouched."""

import ast
import copy
import operator
import threading
from collections.abc import Callable, Mapping
from typing import Any

Record = dict[str, Any]

_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Refused(Exception):
    """The shop's rules do not allow it, or there is no such thing."""


class RetailShop:
    """One shop over a shared database: what it changes it copies first."""

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._base = database
        self.changed: dict[str, dict[str, Record]] = {"orders": {}, "users": {}}
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def database(self) -> dict[str, Any]:
        """Everything as it stands now."""
        return {name: {**rows, **self.changed.get(name, {})} for name, rows in self._base.items()}

    def do(self, name: str, arguments: Record, *, key: str | None = None) -> Any:
        """Do one thing; with the same key, once.

        Raises:
            Refused: The rules forbid it; nothing is changed.
        """
        with self._lock:
            if key is not None and key in self._answers:
                return self._answers[key]
            answer = copy.deepcopy(getattr(self, f"_{name}")(**arguments))
            if key is not None:
                self._answers[key] = answer
            return answer

    def _find_user_id_by_email(self, email: str) -> str:
        for user_id, user in self.database()["users"].items():
            if user["email"].lower() == email.lower():
                return str(user_id)
        raise Refused(f"Nobody has the e-mail address {email}.")

    def _find_user_id_by_name_zip(
        self,
        first_name: str,
        last_name: str,
        zip: str,  # noqa: A002 the data's word
    ) -> str:
        wanted = (first_name.lower(), last_name.lower(), zip)
        for user_id, user in self.database()["users"].items():
            name = user["name"]
            if wanted == (
                name["first_name"].lower(),
                name["last_name"].lower(),
                user["address"]["zip"],
            ):
                return str(user_id)
        raise Refused("Nobody has that name and zip code.")

    def _get_user_details(self, user_id: str) -> Record:
        return self._read("users", user_id)

    def _get_order_details(self, order_id: str) -> Record:
        return self._read("orders", order_id)

    def _get_product_details(self, product_id: str) -> Record:
        return self._read("products", product_id)

    def _get_item_details(self, item_id: str) -> Record:
        for product in self._base["products"].values():
            if item_id in product["variants"]:
                return dict(product["variants"][item_id])
        raise Refused(f"There is no item {item_id}.")

    def _calculate(self, expression: str) -> str:
        return f"{_value(ast.parse(expression, mode='eval').body):.2f}"

    def _cancel_pending_order(self, order_id: str, reason: str) -> Record:
        self._in_status(order_id, "pending")
        order = self._write("orders", order_id)
        paid = [
            entry for entry in order["payment_history"] if entry["transaction_type"] == "payment"
        ]
        for entry in paid:
            order["payment_history"].append({**entry, "transaction_type": "refund"})
            self._credit(order["user_id"], entry["payment_method_id"], entry["amount"])
        order["status"] = "cancelled"
        order["cancel_reason"] = reason
        return order

    def _modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Record:
        self._in_status(order_id, "pending")
        variants, difference = self._swap(order_id, item_ids, new_item_ids, payment_method_id)
        order = self._write("orders", order_id)
        for old, new in zip(item_ids, variants, strict=True):
            item = next(each for each in order["items"] if each["item_id"] == old)
            item.update(item_id=new["item_id"], price=new["price"], options=new["options"])
        kind = "payment" if difference > 0 else "refund"
        self._pay(order, kind, abs(difference), payment_method_id)
        self._credit(order["user_id"], payment_method_id, -difference)
        order["status"] = "pending (item modified)"
        return order

    def _exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> Record:
        self._in_status(order_id, "delivered")
        _, difference = self._swap(order_id, item_ids, new_item_ids, payment_method_id)
        order = self._write("orders", order_id)
        order["status"] = "exchange requested"
        order["exchange_items"] = sorted(item_ids)
        order["exchange_new_items"] = sorted(new_item_ids)
        order["exchange_payment_method_id"] = payment_method_id
        order["exchange_price_difference"] = difference
        return order

    def _return_delivered_order_items(
        self, order_id: str, item_ids: list[str], payment_method_id: str
    ) -> Record:
        order = self._in_status(order_id, "delivered")
        self._has_items(order, item_ids)
        self._method(order["user_id"], payment_method_id)
        order = self._write("orders", order_id)
        order["status"] = "return requested"
        order["return_items"] = sorted(item_ids)
        order["return_payment_method_id"] = payment_method_id
        return order

    def _modify_pending_order_address(self, order_id: str, **address: str) -> Record:
        if not self._read("orders", order_id)["status"].startswith("pending"):
            raise Refused(f"{order_id} is not pending.")
        order = self._write("orders", order_id)
        order["address"] = address
        return order

    def _modify_user_address(self, user_id: str, **address: str) -> Record:
        user = self._write("users", user_id)
        user["address"] = address
        return user

    def _swap(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> tuple[list[Record], float]:
        """The new variants and what they cost more, in dollars, once all is allowed."""
        order = self._read("orders", order_id)
        self._has_items(order, item_ids)
        if len(item_ids) != len(new_item_ids):
            raise Refused("Name one new item for each old one.")
        variants, difference = [], 0.0
        for old, new in zip(item_ids, new_item_ids, strict=True):
            item = next(each for each in order["items"] if each["item_id"] == old)
            variant = self._base["products"][item["product_id"]]["variants"].get(new)
            if variant is None or not variant["available"]:
                raise Refused(f"{new} is not an available variant of the same product.")
            variants.append(variant)
            difference += variant["price"] - item["price"]
        difference = round(difference, 2)
        method = self._method(order["user_id"], payment_method_id)
        if method["source"] == "gift_card" and method["balance"] < difference:
            raise Refused("The gift card does not hold enough.")
        return variants, difference

    def _has_items(self, order: Record, item_ids: list[str]) -> None:
        held = [item["item_id"] for item in order["items"]]
        for item_id in item_ids:
            if item_ids.count(item_id) > held.count(item_id):
                raise Refused(f"{order['order_id']} does not hold {item_id} that often.")

    def _in_status(self, order_id: str, status: str) -> Record:
        order = self._read("orders", order_id)
        if order["status"] != status:
            raise Refused(f"{order_id} is {order['status']}, not {status}.")
        return order

    def _method(self, user_id: str, payment_method_id: str) -> Record:
        methods = self._read("users", user_id)["payment_methods"]
        if payment_method_id not in methods:
            raise Refused(f"{user_id} has no payment method {payment_method_id}.")
        return dict(methods[payment_method_id])

    def _pay(self, order: Record, kind: str, amount: float, payment_method_id: str) -> None:
        order["payment_history"].append(
            {"transaction_type": kind, "amount": amount, "payment_method_id": payment_method_id}
        )

    def _credit(self, user_id: str, payment_method_id: str, amount: float) -> None:
        if self._method(user_id, payment_method_id)["source"] == "gift_card":
            card = self._write("users", user_id)["payment_methods"][payment_method_id]
            card["balance"] = round(card["balance"] + amount, 2)

    def _read(self, table: str, row: str) -> Record:
        found = self.changed.get(table, {}).get(row) or self._base[table].get(row)
        if found is None:
            raise Refused(f"There is no {row} among the {table}.")
        return dict(found)

    def _write(self, table: str, row: str) -> Record:
        if row not in self.changed[table]:
            self.changed[table][row] = copy.deepcopy(self._read(table, row))
        return self.changed[table][row]


class RetailStreet:
    """A shop of its own for each customer that asks, all over the same database."""

    def __init__(self, database: Mapping[str, Any]) -> None:
        self._database = database
        self._shops: dict[str, RetailShop] = {}
        self._lock = threading.Lock()
        self._asked = 0
        self._due: tuple[int, Callable[[], None]] | None = None

    def after(self, calls: int, action: Callable[[], None]) -> None:
        """Do something once, when that many calls have come in and the last is not answered."""
        self._due = (calls, action)

    def shop(self, customer: str) -> RetailShop:
        with self._lock:
            return self._shops.setdefault(customer, RetailShop(self._database))

    def answer(self, path: str, body: Record, headers: Mapping[str, str]) -> tuple[int, Any]:
        try:
            shop = self.shop(headers["X-Customer"])
            value = shop.do(path, body, key=headers["Idempotency-Key"])
        except Refused as error:
            return 409, {"error": str(error)}
        self._count()
        return 200, value

    def _count(self) -> None:
        with self._lock:
            self._asked += 1
            if self._due and self._asked >= self._due[0]:
                (_, action), self._due = self._due, None
                action()


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float()):
            return float(node.value)
        case ast.BinOp():
            return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
    raise Refused("That is no sum.")
