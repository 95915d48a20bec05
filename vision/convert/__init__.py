"""Official, timm and Hugging Face checkpoints to our transformers and back, every tensor accounted for.

``read_encoder`` (:mod:`vision.convert.read`), ``read_tokenizer`` (:mod:`vision.convert.tokenizer`), ``write_encoder``
(:mod:`vision.convert.write`), ``export_program`` and ``export_onnx`` (:mod:`vision.convert.export`).
"""
