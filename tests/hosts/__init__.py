"""Stand-ins for Colab and Kaggle, in which a first click is tried."""
