"""From sources to results: detect, predict, record, draw."""
