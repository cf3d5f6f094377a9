"""Clean the training set (RCA): train, score, remove the worst, retrain."""
