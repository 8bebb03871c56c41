"""Searches everything that a fleet has stored for a word."""

from typing import Any

import redis
from sqlalchemy import Engine, text

_TABLES = text("""
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
ORDER BY 1
""")


def rows_with(engine: Engine, word: str) -> dict[str, int]:
    """Number of rows by table whose text holds the word, in any case of letters."""
    with engine.connect() as connection:
        found = {}
        for table in connection.execute(_TABLES).scalars().all():
            query = text(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE :like")  # noqa: S608
            number = connection.execute(query, {"like": f"%{word}%"}).scalar_one()
            if number:
                found[table] = number
    return found


def keys_with(url: str, word: str) -> list[str]:
    """Keys of a Redis database that hold the word in their name or value."""
    with redis.Redis.from_url(url) as client:
        keys = [each.decode("utf-8", "replace") for each in client.scan_iter(count=500)]
        return [each for each in keys if word.lower() in f"{each}{_value(client, each)}".lower()]


def _value(client: "redis.Redis", key: str) -> Any:
    reads = {
        b"string": lambda: client.get(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"hash": lambda: client.hgetall(key),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
    }
    kind: Any = client.type(key)
    return reads[kind]() if kind in reads else ""
