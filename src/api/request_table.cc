#include "api/request_table.h"

#include <limits>

#include "api/constraint_fields.h"
#include "api/conversation_fields.h"
#include "api/embedding_fields.h"
#include "api/model_fields.h"
#include "api/request_fields.h"
#include "api/request_timeout.h"
#include "api/response_fields.h"

namespace slora {
namespace {

constexpr unsigned kBoth = kCompletionFields | kChatFields;
constexpr unsigned kOpenAi = kBoth | kResponseFields;
constexpr unsigned kAllButSlora = kOpenAi | kSglangSamplingFields;
constexpr unsigned kAllButTgi = kAllButSlora | kSloraParameterFields;
constexpr unsigned kEvery = kAllButTgi | kTgiParameterFields;
constexpr unsigned kScores = kScoreFields | kRerankFields;
constexpr unsigned kEmbeddings = kEmbeddingFields | kScores;
constexpr unsigned kAnywhere = kEvery | kEmbeddings | kSglangFields | kSloraFields | kTgiFields;
constexpr std::int64_t kIntMin = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr double kPositiveMin = 1e-6;  // stands for "more than 0"
constexpr std::string_view kNothing = "[]";

// Where the value of a field goes: a member of the spec, or of one of its parts.
template <auto Member>
constexpr auto in_spec = +[](RequestSpec& spec) -> auto& {
  return spec.*Member;
};
template <auto Part, auto Member>
constexpr auto in_part = +[](RequestSpec& spec) -> auto& {
  return spec.*Part.*Member;
};
template <auto Member>
constexpr auto in_prompt = in_part<&RequestSpec::prompt, Member>;
template <auto Member>
constexpr auto in_chat = in_part<&RequestSpec::chat, Member>;
template <auto Member>
constexpr auto in_sampling = in_part<&RequestSpec::sampling, Member>;
template <auto Member>
constexpr auto in_given = in_part<&RequestSpec::given, Member>;
template <auto Member>
constexpr auto in_output = in_part<&RequestSpec::output, Member>;
template <auto Member>
constexpr auto in_openai = in_part<&RequestSpec::openai, Member>;
template <auto Member>
constexpr auto in_responses = in_part<&RequestSpec::responses, Member>;
template <auto Member>
constexpr auto in_embedding = in_part<&RequestSpec::embedding, Member>;
template <auto Member>
constexpr auto in_sglang = in_part<&RequestSpec::sglang, Member>;
template <auto Member>
constexpr auto in_slora = in_part<&RequestSpec::slora, Member>;
template <auto Member>
constexpr auto in_tgi = in_part<&RequestSpec::tgi, Member>;

constexpr ModelField kModel{read_model, model_schema};
constexpr ModelField kAdapter{read_adapter, adapter_schema};
constexpr ModelField kUnserved{read_unserved_adapter, unserved_adapter_schema};

// Caps: a request must not cost more than its bytes suggest.
constexpr Field kFields[] = {
    {"model", kAnywhere, kModel, "The base model or an adapter, as GET /v1/models lists them. The base model when absent."},
    {"model_name", kAnywhere, kModel, "The same as model."},
    {"model_id", kAnywhere, kModel, "The same as model."},
    {"model_path", kAnywhere, kModel, "The same as model: a name, no path."},
    {"model_dir", kAnywhere, kModel, "The same as model: a name, no path. S-LoRA's."},
    {"adapter", kAnywhere, kAdapter, "An adapter, for clients that keep model for the base."},
    {"adapters", kAnywhere, kAdapter,
     "The same as adapter, mlx-lm's; or a blend: a list of objects with an adapter's name and weight, whose weighted sum answers."},
    {"adapter_id", kAnywhere, kAdapter, "The same as adapter. LoRAX's and TGI's."},
    {"adapter_ids", kAnywhere, kAdapter, "The same as adapter."},
    {"adapter_name", kAnywhere, kAdapter, "The same as adapter. OpenLLM's."},
    {"adapter_names", kAnywhere, kAdapter, "The same as adapter. PEFT's."},
    {"adapter_path", kAnywhere, kAdapter, "The same as adapter: a name, or the end of an adapter's folder."},
    {"adapter_parameters", kAnywhere, kAdapter, "An object with the name of one adapter at weight 1. LoRAX's."},
    {"merged_adapters", kAnywhere, kAdapter, "An object with the name of one adapter at weight 1. LoRAX's."},
    {"active_adapter", kAnywhere, kAdapter, "The same as adapter. PEFT's."},
    {"lora", kAnywhere, kAdapter, "The same as adapter or adapters, with scale as the weight. llama.cpp's; its numbers are refused."},
    {"loras", kAnywhere, kAdapter, "The same as adapter."},
    {"lora_id", kAnywhere, kAdapter, "The same as adapter. SGLang's."},
    {"lora_name", kAnywhere, kAdapter, "The same as adapter."},
    {"lora_path", kAnywhere, kAdapter, "The same as adapter: a name, or the end of an adapter's folder. SGLang's."},
    {"lora_dir", kAnywhere, kAdapter, "The same as adapter: a name, or the end of an adapter's folder. S-LoRA's."},
    {"lora_request", kAnywhere, kAdapter, "An object with an adapter's lora_name. vLLM's and TensorRT-LLM's."},
    {"lora_adapter", kAnywhere, kAdapter, "The same as adapter."},
    {"lora_adapters", kAnywhere, kAdapter, "The same as adapter."},
    {"lora_modules", kAnywhere, kAdapter, "The same as adapter."},
    {"lora_scale", kAnywhere, FixedField{"[1]"}, "Adapters are served with the scale of their own files."},
    {"adapter_source", kAnywhere, FixedField{R"(["local","hub"])"}, "LoRAX's; adapters are those that this server was given."},
    {"api_token", kAnywhere, TextField{}, "LoRAX's key for downloads; ignored: nothing is downloaded."},
    {"lora_int_id", kAnywhere, kUnserved, "A number of an adapter. vLLM's."},
    {"lora_task_id", kAnywhere, kUnserved, "A number of an adapter. TensorRT-LLM's."},
    {"lora_weights", kAnywhere, kUnserved, "An adapter's tensors. TensorRT-LLM's."},
    {"lora_config", kAnywhere, kUnserved, "What lora_weights are. TensorRT-LLM's."},
    {"prompt", kCompletionFields, FormField{read_prompt, prompt_schema}, "A text, token ids, or a list of either."},
    {"messages", kChatFields, FormField{read_messages, messages_schema}, "The conversation so far."},

    {"n", kBoth | kSglangSamplingFields, IntegerField{in_output<&OutputSpec::n>, 1, 8}, "Choices for each prompt."},
    {"max_tokens", kCompletionFields, IntegerField{in_output<&OutputSpec::max_tokens>, 0, kIntMax},
     "Maximum number of output tokens; 16 when absent. 0 is allowed only with echo: the prompt is scored and nothing is generated."},
    {"max_tokens", kChatFields, IntegerField{in_output<&OutputSpec::max_tokens>, 1, kIntMax},
     "Maximum number of output tokens; when absent, what is left of the context after the prompt."},
    {"max_completion_tokens", kChatFields, IntegerField{in_output<&OutputSpec::max_completion_tokens>, 1, kIntMax},
     "The newer name of max_tokens; takes precedence over it."},
    {"min_tokens", kBoth, IntegerField{in_sampling<&SamplingParams::min_tokens>, 0, kIntMax},
     "Minimum number of output tokens: end tokens and stop strings have no effect before."},
    {"temperature", kEvery, NumberField{in_given<&GivenSampling::temperature>, 0, 100}, "0: always the most likely token."},
    {"top_p", kEvery, NumberField{in_given<&GivenSampling::top_p>, kPositiveMin, 1},
     "Sample from the most likely tokens whose probabilities add up to this value."},
    {"top_k", kEvery, IntegerField{in_given<&GivenSampling::top_k>, -1, kIntMax},
     "Sample from this many of the most likely tokens; 0 and -1: from all."},
    {"min_p", kAllButSlora | kTgiParameterFields, NumberField{in_given<&GivenSampling::min_p>, 0, 1},
     "Sample from tokens whose probability is at least this fraction of the most likely token's."},
    {"repetition_penalty", kAllButSlora | kTgiParameterFields, NumberField{in_given<&GivenSampling::repetition_penalty>, kPositiveMin, 100},
     "Above 1: penalizes tokens that occur in the prompt or the output."},
    {"presence_penalty", kEvery, NumberField{in_sampling<&SamplingParams::presence_penalty>, -2, 2},
     "Above 0: penalizes tokens that occur in the output."},
    {"frequency_penalty", kEvery, NumberField{in_sampling<&SamplingParams::frequency_penalty>, -2, 2},
     "Above 0: penalizes tokens of the output, once for each occurrence."},
    {"seed", kOpenAi | kTgiParameterFields, IntegerField{in_spec<&RequestSpec::seed>, kInt64Min, kInt64Max},
     "The same seed samples the same answer."},
    {"logit_bias", kAllButSlora, FormField{read_logit_bias, logit_bias_schema},
     "An object that maps token ids to values, which are added to the tokens' logits."},

    {"logprobs", kCompletionFields, IntegerField{in_output<&OutputSpec::logprobs>, 0, kLogprobsMax},
     "Return each token's log-probability and those of the N most likely tokens at its position. With echo, of the prompt's tokens too."},
    {"logprobs", kChatFields, FlagField{in_output<&OutputSpec::wants_logprobs>}, "Return each token's log-probability."},
    {"top_logprobs", kChatFields, IntegerField{in_output<&OutputSpec::top_logprobs>, 0, kLogprobsMax},
     "With logprobs: also return the N most likely tokens at each position."},
    {"top_logprobs", kResponseFields, IntegerField{in_output<&OutputSpec::top_logprobs>, 0, kLogprobsMax},
     "Return each token's log-probability and those of the N most likely tokens at its position; 0: see include."},
    {"prompt_logprobs", kBoth, IntegerField{in_output<&OutputSpec::prompt_logprobs>, 0, kLogprobsMax},
     "Return the log-probabilities of the prompt's tokens and those of the N most likely tokens at each position. Not with stream."},
    {"return_token_ids", kBoth, FlagField{in_output<&OutputSpec::return_token_ids>}, "Return the token ids of prompt and output."},
    {"return_tokens_as_token_ids", kBoth, FlagField{in_openai<&OpenAiSpec::return_tokens_as_token_ids>},
     "Write tokens as \"token_id:ID\" in log-probabilities."},

    {"stop", kAllButSlora, FormField{read_stop, stop_schema}, "Strings that end the output; they are not part of it."},
    {"stop", kTgiParameterFields, FormField{read_stop, stop_schema}, "Strings that end the output, and stay at its end."},
    {"stop_token_ids", kAllButSlora, FormField{read_stop_token_ids, stop_token_ids_schema}, "Tokens that end the output."},
    {"include_stop_str_in_output", kOpenAi, FlagField{in_output<&OutputSpec::include_stop_text>},
     "Keep the stop string or stop token in the output."},
    {"ignore_eos", kEvery, FlagField{in_output<&OutputSpec::ignore_eos>}, "Continue past the model's end tokens."},
    {"skip_special_tokens", kAllButSlora, FlagField{in_output<&OutputSpec::skip_special_tokens>}, "Leave special tokens out of the text."},
    {"spaces_between_special_tokens", kAllButSlora, FlagField{}, "Has no effect with the supported tokenizers."},
    {"add_special_tokens", kBoth | kEmbeddings | kTgiFields, FlagField{in_prompt<&PromptSpec::add_special_tokens>},
     "Let the tokenizer add its special tokens to the prompt. True when absent; false in chats, whose template writes them."},
    {"truncate_prompt_tokens", kBoth | kEmbeddings, IntegerField{in_prompt<&PromptSpec::truncate_tokens>, -1, kIntMax},
     "Truncate a longer prompt to this many tokens; -1: to what the context holds in addition to the output."},
    {"truncation_side", kBoth | kEmbeddings, FormField{read_truncation_side, truncation_side_schema},
     "The side on which a long prompt is truncated; left when absent."},

    {"echo", kCompletionFields, FlagField{in_output<&OutputSpec::echo>}, "Put the prompt in front of the output."},
    {"echo", kChatFields, FlagField{in_output<&OutputSpec::echo>},
     "Put the last message in front of the output, if it is the assistant's."},
    {"stream", kOpenAi | kSglangFields | kTgiFields, FlagField{in_output<&OutputSpec::stream>},
     "Answer with server-sent events, one for each token."},
    {"stream_options", kBoth, FormField{read_stream_options, stream_options_schema}, "Only together with stream."},
    {"priority", kOpenAi | kEmbeddings | kSglangFields, IntegerField{in_spec<&RequestSpec::priority>, kIntMin, kIntMax},
     "Lower values are served earlier if the server runs with --policy priority; otherwise only 0 is accepted."},
    {"timeout", kOpenAi | kEmbeddings | kSglangFields | kSloraFields | kTgiFields,
     NumberField{in_spec<&RequestSpec::timeout_seconds>, kTimeoutSecondsMin, kTimeoutSecondsMax},
     "Seconds after which the answer is of no use any more: what has not ended by then ends with the error deadline_exceeded."},
    {"user", kBoth | kEmbeddings, TextField{}, "A label for the client's own records."},

    {"input", kResponseFields, FormField{read_response_input, response_input_schema}, "A text, or the items of the conversation so far."},
    {"instructions", kResponseFields, FormField{read_instructions, instructions_schema}, "The system message, before the input."},
    {"max_output_tokens", kResponseFields, IntegerField{in_output<&OutputSpec::max_tokens>, 1, kIntMax},
     "Maximum number of output tokens; when absent, what is left of the context after the prompt."},
    {"text", kResponseFields, FormField{read_response_text, response_text_schema},
     "The form of the answer: text, JSON, or what a JSON schema describes. Its verbosity has no effect: the model decides."},
    {"tools", kResponseFields, FormField{read_response_tools, response_tools_schema},
     "Functions that the model may call, as its chat template writes them."},
    {"tool_choice", kResponseFields, FormField{read_response_tool_choice, response_tool_choice_schema},
     "none: the output is text. required: one call or more. A function that is named: one call of it."},
    {"parallel_tool_calls", kResponseFields, FlagField{in_chat<&ChatSpec::parallel_tool_calls>}, "false: one call at most."},
    {"max_tool_calls", kResponseFields, IntegerField{{}, 1, kIntMax}, "Limits calls of tools that the server runs; it runs none."},
    {"reasoning", kResponseFields, FormField{read_response_reasoning, response_reasoning_schema},
     "Its effort is a variable of the chat template; its summary has no effect."},
    {"include", kResponseFields, FormField{read_response_include, response_include_schema},
     "message.output_text.logprobs returns each token's log-probability. The others are of parts that answers do not have."},
    {"truncation", kResponseFields, FormField{read_truncation, truncation_schema},
     "auto: the beginning of a prompt that is too long is left out. disabled, the default: it is refused."},
    {"metadata", kResponseFields, FormField{read_metadata, metadata_schema}, "Labels, repeated in the answer."},
    {"user", kResponseFields, TextField{in_responses<&ResponsesSpec::user>}, "A label for the client's own records."},
    {"safety_identifier", kResponseFields, TextField{}, "A label for the client's own records."},
    {"prompt_cache_key", kResponseFields, TextField{}, "Has no effect: prefixes are found by their tokens."},
    {"prompt_cache_retention", kResponseFields, TextField{}, "Has no effect: prefixes stay until their memory is needed."},
    {"service_tier", kResponseFields, TextField{}, "Has no effect."},
    {"store", kResponseFields, FlagField{}, "Has no effect: answers are never stored, and say so."},
    {"stream_options", kResponseFields, FormField{read_response_stream_options, response_stream_options_schema}, "Has no effect."},
    {"previous_response_id", kResponseFields, FormField{refuse_stored, stored_schema},
     "No answers are stored: send the whole conversation as input."},
    {"conversation", kResponseFields, FormField{refuse_stored, stored_schema},
     "No conversations are stored: send the whole conversation as input."},
    {"background", kResponseFields, FixedField{"[false]"}, "No answers are stored, to be fetched later."},
    {"prompt", kResponseFields, FixedField{kNothing}, "No templates of prompts are stored."},
    {"n", kResponseFields, FixedField{"[1]"}, "A response is one answer."},
    {"response_format", kResponseFields, FixedField{kNothing}, "The form of a response stands in text.format."},
    {"structured_outputs", kResponseFields, FixedField{kNothing}, "The form of a response stands in text.format."},
    {"cache_salt", kResponseFields, FixedField{kNothing}, "Not supported."},

    {"tools", kChatFields, FormField{read_tools, tools_schema}, "Functions that the model may call, as its chat template writes them."},
    {"tool_choice", kChatFields, FormField{read_tool_choice, tool_choice_schema},
     "auto: the model decides; none: no calls are looked for; required, or an object that names a function: the output has to be a call."},
    {"parallel_tool_calls", kChatFields, FlagField{in_chat<&ChatSpec::parallel_tool_calls>},
     "False: one call at most; what the model writes after it is dropped."},
    {"include_reasoning", kChatFields, FlagField{in_chat<&ChatSpec::include_reasoning>},
     "False: leave the model's reasoning out of the answer."},
    {"documents", kChatFields, FormField{read_documents, documents_schema}, "Documents for the chat template."},
    {"chat_template", kChatFields | kResponseFields, TextField{in_chat<&ChatSpec::template_name>},
     "The name of one of the model's own templates. Not a template's text."},
    {"chat_template_kwargs", kChatFields | kResponseFields, FormField{read_chat_template_kwargs, chat_template_kwargs_schema},
     "Variables of the chat template."},
    {"reasoning_effort", kChatFields, FormField{read_reasoning_effort, reasoning_effort_schema}, "A variable of the chat template."},
    {"add_generation_prompt", kChatFields, FlagField{in_chat<&ChatSpec::add_generation_prompt>},
     "End the prompt with the header of the assistant's answer. True when absent, unless the final message is continued."},
    {"continue_final_message", kChatFields, FlagField{in_chat<&ChatSpec::continue_final_message>},
     "Continue the last message instead of starting a new one."},

    {"input", kEmbeddingFields, FormField{read_embedding_input, embedding_input_schema}, "A text, token ids, or a list of either."},
    {"encoding_format", kEmbeddingFields, FormField{read_encoding_format, encoding_format_schema},
     "float: a list of numbers; base64: the bytes of little-endian float32 numbers."},
    {"dimensions", kEmbeddingFields, IntegerField{in_embedding<&EmbeddingSpec::dimensions>, 1, kIntMax},
     "Keep the first N numbers only, normalized again. For models that were trained so."},
    {"normalize", kEmbeddingFields, FlagField{in_embedding<&EmbeddingSpec::normalize>}, "Scale to length 1."},
    {"pooling", kEmbeddings, FormField{read_pooling, pooling_schema}, "last or mean, instead of the server's --pooling."},
    {"text_1", kScoreFields, FormField{read_queries, embedding_texts_schema}, "A text, or a list of as many as there are of text_2."},
    {"queries", kScoreFields, FormField{read_queries, embedding_texts_schema}, "The same as text_1."},
    {"text_2", kScoreFields, FormField{read_documents_to_score, embedding_texts_schema}, "A text, or a list of texts."},
    {"documents", kScoreFields, FormField{read_documents_to_score, embedding_texts_schema}, "The same as text_2."},
    {"query", kRerankFields, FormField{read_query, embedding_text_schema}, "A text."},
    {"documents", kRerankFields, FormField{read_documents_to_score, embedding_texts_schema}, "Texts, or objects with text."},
    {"top_n", kRerankFields, IntegerField{in_embedding<&EmbeddingSpec::top_n>, 0, kIntMax}, "How many documents are returned; 0: all."},
    {"return_documents", kRerankFields, FlagField{in_embedding<&EmbeddingSpec::return_documents>}, "Return the texts too."},

    {"text", kSglangFields, FormField{read_texts, texts_schema}, "A text, or a list of texts. Either this or input_ids is required."},
    {"input_ids", kSglangFields, FormField{read_input_ids, input_ids_schema}, "Token ids, or a list of such lists."},
    {"sampling_params", kSglangFields, ObjectField{kSglangSamplingFields}, "Sampling parameters and output length."},
    {"rid", kSglangFields, TextField{in_sglang<&SglangSpec::rid>, 128}, "The request's id in the answer."},
    {"return_logprob", kSglangFields, FlagField{in_output<&OutputSpec::wants_logprobs>}, "Return each token's log-probability."},
    {"top_logprobs_num", kSglangFields, IntegerField{in_output<&OutputSpec::top_logprobs>, 0, kLogprobsMax},
     "With return_logprob: also return the N most likely tokens at each position."},
    {"logprob_start_len", kSglangFields, IntegerField{in_sglang<&SglangSpec::logprob_start_len>, -1, kIntMax},
     "With return_logprob: the first token of the prompt whose log-probability is returned; -1: none. Not with stream."},
    {"return_text_in_logprobs", kSglangFields, FlagField{in_sglang<&SglangSpec::return_text_in_logprobs>},
     "Return the tokens' texts together with their log-probabilities."},
    {"max_new_tokens", kTgiParameterFields, IntegerField{in_output<&OutputSpec::max_tokens>, 1, kIntMax},
     "Maximum number of output tokens; when absent, what is left of the context after the prompt."},
    {"max_new_tokens", kSglangSamplingFields, IntegerField{in_output<&OutputSpec::max_tokens>, 1, kIntMax},
     "Maximum number of output tokens; 128 when absent."},
    {"max_new_tokens", kSloraParameterFields, IntegerField{in_output<&OutputSpec::max_tokens>, 1, kIntMax},
     "Maximum number of output tokens; 16 when absent."},
    {"min_new_tokens", kSglangSamplingFields, IntegerField{in_sampling<&SamplingParams::min_tokens>, 0, kIntMax},
     "Minimum number of output tokens."},
    {"sampling_seed", kSglangSamplingFields, IntegerField{in_spec<&RequestSpec::seed>, kInt64Min, kInt64Max},
     "The same seed samples the same answer."},
    {"no_stop_trim", kSglangSamplingFields, FlagField{in_output<&OutputSpec::include_stop_text>},
     "Keep the stop string or stop token in the output."},
    {"inputs", kSloraFields | kTgiFields, FormField{read_input, input_schema}, "The text to continue."},
    {"parameters", kSloraFields, ObjectField{kSloraParameterFields}, "Sampling parameters and output length."},
    {"parameters", kTgiFields, ObjectField{kTgiParameterFields}, "Sampling parameters, output length, and the adapter."},
    {"do_sample", kTgiParameterFields, FlagField{in_tgi<&TgiSpec::do_sample>},
     "Sample tokens. When false, the most likely token, unless temperature, top_p or top_k say otherwise."},
    {"stop_sequences", kTgiParameterFields, FormField{read_stop, stop_schema}, "An older name of stop."},
    {"return_full_text", kTgiParameterFields, FlagField{in_output<&OutputSpec::echo>}, "Put the prompt in front of the output."},
    {"truncate", kTgiParameterFields, IntegerField{in_prompt<&PromptSpec::truncate_tokens>, 1, kIntMax},
     "Keep at most this many tokens of the end of the prompt."},
    {"ignore_eos_token", kTgiParameterFields, FlagField{in_output<&OutputSpec::ignore_eos>},
     "Continue past the model's end tokens. LoRAX's."},
    {"details", kTgiParameterFields, FlagField{in_tgi<&TgiSpec::details>}, "Return why the output ended, and its tokens."},
    {"decoder_input_details", kTgiParameterFields, FlagField{in_tgi<&TgiSpec::prompt_details>},
     "Return the prompt's tokens with their log-probabilities. Not with stream."},
    {"top_n_tokens", kTgiParameterFields, IntegerField{in_tgi<&TgiSpec::top_tokens>, 0, kLogprobsMax},
     "With details: also return the N most likely tokens at each position. TGI's."},
    {"return_k_alternatives", kTgiParameterFields, IntegerField{in_tgi<&TgiSpec::alternatives>, 0, kLogprobsMax},
     "With details: also return the N most likely tokens at each position. LoRAX's."},
    {"do_sample", kSloraParameterFields, FlagField{in_slora<&SloraSpec::do_sample>}, "Sample tokens; false: always the most likely token."},
    {"stop_sequences", kSloraParameterFields, FormField{read_stop, stop_schema}, "Strings that end the output; they are not part of it."},
    {"return_details", kSloraParameterFields, FlagField{in_slora<&SloraSpec::return_details>},
     "Return the tokens of the output too. Not with stream."},

    {"best_of", kBoth | kTgiParameterFields, FixedField{"[1]"}, "Exactly n answers are generated."},
    {"suffix", kCompletionFields, FixedField{R"([""])"}, "Text after the output is not supported."},
    {"use_beam_search", kBoth, FixedField{"[false]"}, "Beam search is not supported."},
    {"watermark", kTgiParameterFields, FixedField{"[false]"}, "Not supported."},
    {"typical_p", kTgiParameterFields, FixedField{"[1]"}, "Not supported."},
    {"response_format", kBoth | kTgiParameterFields, FormField{read_response_format, response_format_schema},
     "The form of the answer: any text, a JSON object, or JSON that follows a schema. This and the fields below exclude each other."},
    {"structured_outputs", kBoth, FormField{read_structured_outputs, structured_outputs_schema},
     "The form of the answer, one of: a JSON schema, a regular expression, a list of texts, a grammar, a structural tag. vLLM's."},
    {"guided_json", kBoth, FormField{read_schema_form, schema_form_schema}, "A JSON schema that the answer follows. An older vLLM's."},
    {"guided_regex", kBoth, FormField{read_regex_form, text_form_schema}, "A regular expression that the whole answer matches."},
    {"guided_choice", kBoth, FormField{read_choice_form, choice_form_schema}, "Texts one of which is the answer."},
    {"guided_grammar", kBoth, FormField{read_grammar_form, text_form_schema}, "A grammar in EBNF whose first rule is root."},
    {"grammar", kBoth, FormField{read_grammar_form, text_form_schema}, "The same as guided_grammar. llama.cpp's."},
    {"json_schema", kBoth, FormField{read_schema_form, schema_form_schema}, "The same as guided_json. llama.cpp's."},
    {"grammar", kTgiParameterFields, FormField{read_tgi_grammar, tgi_grammar_schema},
     "The form of the answer: an object with type json or regex, and the schema or expression as value."},
    {"allowed_token_ids", kBoth, FixedField{kNothing}, "Not supported."},
    {"bad_words", kBoth, FixedField{"[[]]"}, "Not supported."},
    {"logits_processors", kBoth, FixedField{"[[]]"}, "Not supported."},
    {"logprob_token_ids", kBoth, FixedField{"[[]]"}, "Not supported."},
    {"thinking_token_budget", kBoth, FixedField{"[-1]"}, "Not supported."},
    {"repetition_detection", kBoth, FixedField{kNothing}, "Not supported."},
    {"prompt_embeds", kBoth, FixedField{"[[]]"}, "Not supported."},
    {"cache_salt", kBoth, FixedField{kNothing}, "Not supported."},
    {"functions", kChatFields, FixedField{"[[]]"}, "An older form of tools, not supported."},
    {"function_call", kChatFields, FixedField{R"(["none","auto"])"}, "An older form of tool_choice."},
    {"modalities", kChatFields, FixedField{R"([["text"]])"}, "Answers are text."},
    {"audio", kChatFields, FixedField{kNothing}, "Answers are text."},
    {"input_embeds", kSglangFields, FixedField{kNothing}, "Not supported."},
    {"image_data", kSglangFields, FixedField{"[[]]"}, "Prompts are text."},
    {"video_data", kSglangFields, FixedField{"[[]]"}, "Prompts are text."},
    {"audio_data", kSglangFields, FixedField{"[[]]"}, "Prompts are text."},
    {"token_ids_logprob", kSglangFields, FixedField{"[[]]"}, "Not supported."},
    {"return_hidden_states", kSglangFields, FixedField{"[false]"}, "Not supported."},
    {"return_routed_experts", kSglangFields, FixedField{"[false]"}, "Not supported."},
    {"custom_logit_processor", kSglangFields, FixedField{R"([""])"}, "Not supported."},
    {"session_params", kSglangFields, FixedField{kNothing}, "Not supported."},
    {"beam_width", kSglangSamplingFields, FixedField{"[1]"}, "Beam search is not supported."},
    {"stop_regex", kSglangSamplingFields, FixedField{R"(["",[]])"}, "Not supported."},
    {"json_schema", kSglangSamplingFields, FormField{read_schema_form, schema_form_schema}, "A JSON schema that the answer follows."},
    {"regex", kSglangSamplingFields, FormField{read_regex_form, text_form_schema}, "A regular expression that the whole answer matches."},
    {"ebnf", kSglangSamplingFields, FormField{read_grammar_form, text_form_schema}, "A grammar in EBNF whose first rule is root."},
    {"structural_tag", kSglangSamplingFields, FormField{read_tag_form, schema_form_schema},
     "A structural tag: free text in which parts have a form."},
    {"custom_params", kSglangSamplingFields, FixedField{"[{}]"}, "Not supported."},
};

}  // namespace

std::span<const Field> request_fields() { return kFields; }

}  // namespace slora
