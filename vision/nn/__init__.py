"""Network parts: geometry, embedding, packed attention, transformer, codebook, tokenizer, heads, teacher."""
