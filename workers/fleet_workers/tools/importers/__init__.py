"""Tools that are described elsewhere: in an OpenAPI document, or by an MCP server.

An operator imports them once (`fetch.fetch_imports`, which asks the servers and writes the lock); a
worker loads them from the lock (`load.load_imports`) and asks nobody.
"""
