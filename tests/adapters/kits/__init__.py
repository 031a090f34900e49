from tests.adapters.kits import pydantic_ai_kit

KITS = [pydantic_ai_kit]
