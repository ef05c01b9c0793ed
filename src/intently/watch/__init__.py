"""Whether a service is well: alert rules, for Prometheus and for ourselves."""
