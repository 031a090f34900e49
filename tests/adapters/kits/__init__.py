from tests.adapters.kits import ag_ui_kits, langgraph_kit, openai_agents_kit, pydantic_ai_kit

KITS = [pydantic_ai_kit, langgraph_kit, openai_agents_kit, ag_ui_kits.PydanticAi(), ag_ui_kits.LangGraph()]
