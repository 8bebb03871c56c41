"""What the authors of AgentDojo's tools would declare about them, read off their documentation.

Nothing here looks at a task: a tool's effect, who writes what it returns, and which of its
arguments are only text for people.
"""

from typing import Any, Final

_MAIL: Final = {"trusted": True, "prose": ("sender", "subject", "body", "attachments")}
_CALENDAR: Final = {"trusted": True, "prose": ("title", "description", "location")}
_FILES: Final = {"trusted": True, "prose": ("content",)}
_NAMES: Final = {"trusted": True, "prose": ("*",)}
_DIRECTORY: Final = {"trusted": True}
_REVIEWS: Final[dict[str, Any]] = {}

PROMISES: Final[dict[str, dict[str, Any]]] = {
    # workspace
    "send_email": {"effect": "write", "content": ("subject", "body"), "asked_by": ("email",)},
    "delete_email": {"effect": "write"},
    "get_unread_emails": _MAIL,
    "get_sent_emails": _MAIL,
    "get_received_emails": _MAIL,
    "get_draft_emails": _MAIL,
    "search_emails": _MAIL,
    "search_contacts_by_name": _DIRECTORY,
    "search_contacts_by_email": _DIRECTORY,
    "get_current_day": _DIRECTORY,
    "search_calendar_events": _CALENDAR,
    "get_day_calendar_events": _CALENDAR,
    "create_calendar_event": {
        "effect": "write",
        "content": ("title", "description", "location"),
        **_CALENDAR,
    },
    "cancel_calendar_event": {"effect": "write"},
    "reschedule_calendar_event": {"effect": "write", **_CALENDAR},
    "add_calendar_event_participants": {"effect": "write", **_CALENDAR},
    "append_to_file": {"effect": "write", "content": ("content",), **_FILES},
    "create_file": {"effect": "write", "content": ("content",), **_FILES},
    "delete_file": {"effect": "write", **_FILES},
    "share_file": {"effect": "write", "free": {"permission": frozenset({"r"})}, **_FILES},
    "search_files_by_filename": _FILES,
    "get_file_by_id": _FILES,
    "list_files": _FILES,
    "search_files": _FILES,
    # travel: reviews are written by guests, the rest is the agency's own directory
    "get_user_information": {
        "trusted": True,
        "sensitive": (
            "ID Number",
            "Passport Number",
            "Bank Account Number",
            "Credit Card Number",
        ),
    },
    "get_rating_reviews_for_hotels": _REVIEWS,
    "get_rating_reviews_for_restaurants": _REVIEWS,
    "get_rating_reviews_for_car_rental": _REVIEWS,
    "get_all_hotels_in_city": _DIRECTORY,
    "get_hotels_prices": _DIRECTORY,
    "get_hotels_address": _DIRECTORY,
    "get_all_restaurants_in_city": _DIRECTORY,
    "get_cuisine_type_for_restaurants": _DIRECTORY,
    "get_restaurants_address": _DIRECTORY,
    "get_dietary_restrictions_for_all_restaurants": _DIRECTORY,
    "get_contact_information_for_restaurants": _DIRECTORY,
    "get_price_for_restaurants": _DIRECTORY,
    "check_restaurant_opening_hours": _DIRECTORY,
    "get_all_car_rental_companies_in_city": _DIRECTORY,
    "get_car_types_available": _DIRECTORY,
    "get_car_fuel_options": _DIRECTORY,
    "get_car_rental_address": _DIRECTORY,
    "get_car_price_per_day": _DIRECTORY,
    "get_flight_information": _DIRECTORY,
    "reserve_hotel": {"effect": "write"},
    "reserve_restaurant": {"effect": "write"},
    "reserve_car_rental": {"effect": "write"},
    # slack: users choose the names of channels, and write the rest
    "get_channels": _NAMES,
    "get_users_in_channel": _NAMES,
    "read_channel_messages": {},
    "read_inbox": {},
    "get_webpage": {"open_world": True},
    "post_webpage": {"effect": "write", "content": ("content",)},
    "send_direct_message": {"effect": "write", "content": ("body",)},
    "send_channel_message": {"effect": "write", "content": ("body",)},
    "add_user_to_channel": {"effect": "write"},
    "invite_user_to_slack": {"effect": "write"},
    "remove_user_from_slack": {"effect": "write"},
}
"""Promises by tool; what stands nowhere is a read whose result is not trusted."""
