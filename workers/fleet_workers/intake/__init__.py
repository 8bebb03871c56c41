"""Takes in tasks that come as plain JSON on RabbitMQ, from any language."""
