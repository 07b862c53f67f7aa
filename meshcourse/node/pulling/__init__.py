"""Images from registries: the policy, the pull, the store."""
