"""What a run is known by: which of its settings make its result, and what its folders are called."""
