"""Official, timm and Hugging Face checkpoints to our transformers and back, every tensor accounted for.

``read_encoder`` and ``read_tokenizer`` (:mod:`vision.convert.read`), ``write_encoder``
(:mod:`vision.convert.write`), ``export_program`` and ``export_onnx`` (:mod:`vision.convert.export`).
"""
