"""How Mien is deployed: images, compose, Kubernetes, rules and runbooks; `deploy.check` proves them by real tools."""
