"""ST-BERT: one BERT over phoneme posteriors and word pieces (Kim et al., ICASSP 2021)."""
