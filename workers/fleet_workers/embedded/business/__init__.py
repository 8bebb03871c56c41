"""The sandbox business: the CRM and billing system that the bundled agents work on."""
