"""The way back: does a `response_template` give thinking, content and calls back from what the model wrote?"""
