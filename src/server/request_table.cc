#include "server/request_table.h"

#include <limits>

#include "server/conversation_fields.h"
#include "server/request_fields.h"

namespace slora {
namespace {

constexpr unsigned kBoth = kCompletionFields | kChatFields;
constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr double kPositiveMin = 1e-6;  // stands for "more than 0"
constexpr std::string_view kNothing = "[]";

using Spec = RequestSpec;

// Caps: a request must not cost more than its bytes suggest.
constexpr Field kFields[] = {
    {"model", kBoth, TextField{&Spec::model}, "The base model or an adapter, as GET /v1/models lists them. The base model when absent."},
    {"lora_path", kBoth, FormField{read_adapter_name, adapter_name_schema}, "The name of an adapter; the same as naming it in model."},
    {"adapter_id", kBoth, FormField{read_adapter_name, adapter_name_schema}, "The name of an adapter; the same as naming it in model."},
    {"prompt", kCompletionFields, FormField{read_prompt, prompt_schema}, "A text, token ids, or a list of either."},
    {"messages", kChatFields, FormField{read_messages, messages_schema}, "The conversation so far."},

    {"n", kBoth, IntegerField{&Spec::n, 1, 8}, "Choices for each prompt."},
    {"max_tokens", kCompletionFields, IntegerField{&Spec::max_tokens, 0, kIntMax},
     "Tokens of output, at most; 16 when absent. 0 only together with echo: the prompt is scored."},
    {"max_tokens", kChatFields, IntegerField{&Spec::max_tokens, 1, kIntMax},
     "Tokens of output, at most; as many as the context holds when absent."},
    {"max_completion_tokens", kChatFields, IntegerField{&Spec::max_completion_tokens, 1, kIntMax},
     "The newer name of max_tokens; it wins."},
    {"min_tokens", kBoth, IntegerField{&Spec::min_tokens, 0, kIntMax},
     "Tokens of output, at least; neither end tokens nor stop count before."},
    {"temperature", kBoth, NumberField{&Spec::temperature, 0, 100}, "0: the likeliest token always."},
    {"top_p", kBoth, NumberField{&Spec::top_p, kPositiveMin, 1}, "Draw from the likeliest tokens that hold this probability together."},
    {"top_k", kBoth, IntegerField{&Spec::top_k, -1, kIntMax}, "Draw from this many of the likeliest tokens; 0 and -1: from all."},
    {"min_p", kBoth, NumberField{&Spec::min_p, 0, 1}, "Draw from tokens at least this probable, relative to the likeliest."},
    {"repetition_penalty", kBoth, NumberField{&Spec::repetition_penalty, kPositiveMin, 100},
     "Above 1: against tokens of prompt and output."},
    {"presence_penalty", kBoth, NumberField{&Spec::presence_penalty, -2, 2}, "Above 0: against tokens of the output."},
    {"frequency_penalty", kBoth, NumberField{&Spec::frequency_penalty, -2, 2}, "Above 0: against tokens of the output, for each time."},
    {"seed", kBoth, IntegerField{&Spec::seed, kInt64Min, kInt64Max}, "The same seed draws the same answer."},
    {"logit_bias", kBoth, FormField{read_logit_bias, logit_bias_schema}, "Token ids as keys, what is added to their logits as values."},

    {"logprobs", kCompletionFields, IntegerField{&Spec::logprobs, 0, kLogprobsMax},
     "Tell each token's log-probability, and so many of the likeliest tokens in its place. With echo, of the prompt too."},
    {"logprobs", kChatFields, FlagField{&Spec::chat_logprobs}, "Tell each token's log-probability."},
    {"top_logprobs", kChatFields, IntegerField{&Spec::top_logprobs, 0, kLogprobsMax}, "With logprobs: so many of the likeliest tokens."},
    {"prompt_logprobs", kBoth, IntegerField{&Spec::prompt_logprobs, 0, kLogprobsMax},
     "Tell log-probabilities of the prompt's tokens, and so many of the likeliest in their place. Not with stream."},
    {"return_token_ids", kBoth, FlagField{&Spec::return_token_ids}, "Tell the token ids of prompt and output."},
    {"return_tokens_as_token_ids", kBoth, FlagField{&Spec::return_tokens_as_token_ids},
     "Name tokens \"token_id:ID\" in log-probabilities."},

    {"stop", kBoth, FormField{read_stop, stop_schema}, "Texts that end the output; they are left out of it."},
    {"stop_token_ids", kBoth, FormField{read_stop_token_ids, stop_token_ids_schema}, "Tokens that end the output."},
    {"include_stop_str_in_output", kBoth, FlagField{&Spec::include_stop_str_in_output}, "Leave in the output what ended it."},
    {"ignore_eos", kBoth, FlagField{&Spec::ignore_eos}, "Go on past the model's end tokens."},
    {"skip_special_tokens", kBoth, FlagField{&Spec::skip_special_tokens}, "Leave special tokens out of the text."},
    {"spaces_between_special_tokens", kBoth, FlagField{}, "Makes no difference with the tokenizers that are served."},
    {"add_special_tokens", kBoth, FlagField{&Spec::add_special_tokens},
     "Let the tokenizer add its special tokens to the prompt. True when absent; false in chats, whose template writes them."},
    {"truncate_prompt_tokens", kBoth, IntegerField{&Spec::truncate_prompt_tokens, -1, kIntMax},
     "Keep so many tokens of a longer prompt; -1: as many as there is room for beside the output."},
    {"truncation_side", kBoth, FormField{read_truncation_side, truncation_side_schema}, "Where tokens are cut off; left when absent."},

    {"echo", kCompletionFields, FlagField{&Spec::echo}, "Put the prompt in front of the output."},
    {"echo", kChatFields, FlagField{&Spec::echo}, "Put the last message in front of the output, if it is the assistant's."},
    {"stream", kBoth, FlagField{&Spec::stream}, "Answer by server-sent events, one for each token."},
    {"stream_options", kBoth, FormField{read_stream_options, stream_options_schema}, "Only together with stream."},
    {"priority", kBoth, IntegerField{{}, kInt64Min, kInt64Max}, "Not followed: a client must not put itself before others."},
    {"user", kBoth, TextField{}, "A label for the client's own records."},

    {"tools", kChatFields, FormField{read_tools, tools_schema}, "Functions that the model may call, as its chat template writes them."},
    {"tool_choice", kChatFields, FixedField{R"(["none","auto"])"}, "What the model writes is never held to a tool."},
    {"parallel_tool_calls", kChatFields, FlagField{}, "Left to the model."},
    {"documents", kChatFields, FormField{read_documents, documents_schema}, "Documents for the chat template."},
    {"chat_template", kChatFields, TextField{&Spec::chat_template}, "The name of one of the model's own templates. Not a template's text."},
    {"chat_template_kwargs", kChatFields, FormField{read_chat_template_kwargs, chat_template_kwargs_schema},
     "Variables of the chat template."},
    {"reasoning_effort", kChatFields, FormField{read_reasoning_effort, reasoning_effort_schema}, "A variable of the chat template."},
    {"add_generation_prompt", kChatFields, FlagField{&Spec::add_generation_prompt},
     "End the prompt with the head of an answer. True when absent, unless the final message is continued."},
    {"continue_final_message", kChatFields, FlagField{&Spec::continue_final_message}, "Go on with the last message instead of a new one."},

    {"best_of", kBoth, FixedField{"[1]"}, "Only the answers that are asked for are generated."},
    {"suffix", kCompletionFields, FixedField{R"([""])"}, "Text after the output is not served."},
    {"use_beam_search", kBoth, FixedField{"[false]"}, "Beam search is not served."},
    {"response_format", kBoth, FixedField{R"([{"type":"text"}])"}, "Constrained output is not served."},
    {"structured_outputs", kBoth, FixedField{kNothing}, "Constrained output is not served."},
    {"guided_json", kBoth, FixedField{kNothing}, "Constrained output is not served."},
    {"guided_regex", kBoth, FixedField{kNothing}, "Constrained output is not served."},
    {"guided_choice", kBoth, FixedField{kNothing}, "Constrained output is not served."},
    {"guided_grammar", kBoth, FixedField{kNothing}, "Constrained output is not served."},
    {"allowed_token_ids", kBoth, FixedField{kNothing}, "Not served."},
    {"bad_words", kBoth, FixedField{"[[]]"}, "Not served."},
    {"logits_processors", kBoth, FixedField{"[[]]"}, "Not served."},
    {"logprob_token_ids", kBoth, FixedField{"[[]]"}, "Not served."},
    {"thinking_token_budget", kBoth, FixedField{"[-1]"}, "Not served."},
    {"repetition_detection", kBoth, FixedField{kNothing}, "Not served."},
    {"prompt_embeds", kBoth, FixedField{"[[]]"}, "Not served."},
    {"cache_salt", kBoth, FixedField{kNothing}, "Not served."},
    {"functions", kChatFields, FixedField{"[[]]"}, "An older form of tools, not served."},
    {"function_call", kChatFields, FixedField{R"(["none","auto"])"}, "An older form of tool_choice."},
    {"modalities", kChatFields, FixedField{R"([["text"]])"}, "Answers are text."},
    {"audio", kChatFields, FixedField{kNothing}, "Answers are text."},
};

}  // namespace

std::span<const Field> request_fields() { return kFields; }

}  // namespace slora
