"""Tells other programs what happens: commands, webhooks, an MQTT broker, notifications."""
