"""SpeechBERT: one BERT over written and spoken words (Chuang et al., Interspeech 2020)."""
