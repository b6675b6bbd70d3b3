"""Which labels are likely wrong, by what a model that did not learn them says."""
