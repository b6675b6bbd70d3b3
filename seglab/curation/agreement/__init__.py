"""How far annotators agree: numbers with intervals, consensus, what needs a rule, gold sets."""
