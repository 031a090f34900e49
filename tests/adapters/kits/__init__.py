from tests.adapters.kits import langgraph_kit, openai_agents_kit, pydantic_ai_kit

KITS = [pydantic_ai_kit, langgraph_kit, openai_agents_kit]
