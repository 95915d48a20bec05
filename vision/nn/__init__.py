"""Network parts: geometry, embedding, packed attention, transformer, codebook, tokenizer, heads and the EMA teacher."""
