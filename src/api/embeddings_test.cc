// Requests and answers of /v1/embeddings, /v1/score and /v1/rerank.
#include <gtest/gtest.h>

#include "api/request_parser.h"
#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

class EmbeddingsTest : public GenerationJobFixture {
 protected:
  // Ends a sequence with an embedding.
  void give(std::size_t sequence, std::vector<float> embedding) {
    TokenEvent event;
    event.sequence = generator.submitted.at(sequence).id;
    event.token = {.id = 40, .logprob = -1, .top = {}};
    event.embedding = std::move(embedding);
    event.end = EndReason::length;
    std::vector<TokenEvent> events;
    events.push_back(std::move(event));
    jobs.deliver(std::move(events));
  }
  static std::string param_of(Endpoint endpoint, const std::string& body) {
    const Result<RequestSpec> spec = parse_request(endpoint, body, kVocabulary);
    return spec ? "" : spec.error().param;
  }
};

TEST_F(EmbeddingsTest, AreOneSequenceForEachInput) {
  start(Endpoint::embeddings, R"({"model":"base","input":["Hello","big world"],"encoding_format":"float"})");
  ASSERT_EQ(generator.submitted.size(), 2u);
  EXPECT_EQ(generator.submitted[0].pooling, Pooling::last);
  EXPECT_EQ(generator.submitted[0].output_tokens_max, 1);
  EXPECT_TRUE(generator.submitted[0].sampling.end_tokens.empty());
  give(1, {0, -2, 0, 0});
  give(0, {3, 0, 4, 0});
  const Json answer = body();
  EXPECT_EQ(answer["object"], "list");
  EXPECT_EQ(answer["model"], "base");
  EXPECT_EQ(answer["data"][0], Json::parse(R"({"object":"embedding","index":0,"embedding":[0.6,0,0.8,0]})"));
  EXPECT_EQ(answer["data"][1]["embedding"], Json::parse("[0,-1,0,0]"));
  const std::size_t tokens = generator.submitted[0].prompt.size() + generator.submitted[1].prompt.size();
  EXPECT_EQ(answer["usage"], Json({{"prompt_tokens", tokens}, {"total_tokens", tokens}}));
}

TEST_F(EmbeddingsTest, AreCutAndScaledAsAsked) {
  start(Endpoint::embeddings, R"({"input":[5,6,7],"dimensions":2,"pooling":"mean"})");
  EXPECT_EQ(generator.submitted.at(0).pooling, Pooling::mean);
  give(0, {3, 4, 12, 1});
  EXPECT_EQ(body()["data"][0]["embedding"], Json::parse("[0.6,0.8]"));
  start(Endpoint::embeddings, R"({"input":"a","normalize":false})");
  give(1, {3, 4, 12, 1});
  EXPECT_EQ(body()["data"][0]["embedding"], Json::parse("[3,4,12,1]"));
}

TEST_F(EmbeddingsTest, AreBytesInBase64) {
  start(Endpoint::embeddings, R"({"input":"a","encoding_format":"base64"})");
  give(0, {1, 0, 0, 0});
  EXPECT_EQ(body()["data"][0]["embedding"], "AACAPwAAAAAAAAAAAAAAAA==");
  start(Endpoint::embeddings, R"({"input":"a","encoding_format":"base64","dimensions":3})");
  give(1, {0, 1, 0, 0});
  EXPECT_EQ(body()["data"][0]["embedding"], "AAAAAAAAgD8AAAAA");
}

TEST_F(EmbeddingsTest, AreMadeAsTheModelWasMadeFor) {
  generator.embedding_support.pooling = Pooling::mean;
  start(Endpoint::embeddings, R"({"input":"a"})");
  EXPECT_EQ(generator.submitted.at(0).pooling, Pooling::mean);
  generator.embedding_support.pooling = Pooling::none;
  start(Endpoint::embeddings, R"({"input":"a"})");
  EXPECT_EQ(sink->error->param, "pooling");
  start(Endpoint::embeddings, R"({"input":"a","pooling":"last"})");
  EXPECT_FALSE(sink->error);
  generator.embedding_support.is_served = false;
  start(Endpoint::embeddings, R"({"input":"a","pooling":"last"})");
  EXPECT_EQ(sink->error->code, "no_embeddings");
}

TEST_F(EmbeddingsTest, AreCompletionsOfNothing) {
  complete(R"("max_tokens":1)");
  EXPECT_EQ(generator.submitted.at(0).pooling, Pooling::none) << "other requests have none";
}

TEST_F(EmbeddingsTest, NamesTheFieldAtFault) {
  for (const auto& [endpoint, request, param] : std::vector<std::tuple<Endpoint, std::string, std::string>>{
           {Endpoint::embeddings, "{}", "input"},
           {Endpoint::embeddings, R"({"input":[]})", "input"},
           {Endpoint::embeddings, R"({"input":["a",5]})", "input[1]"},
           {Endpoint::embeddings, R"({"input":"a","encoding_format":"hex"})", "encoding_format"},
           {Endpoint::embeddings, R"({"input":"a","pooling":"cls"})", "pooling"},
           {Endpoint::embeddings, R"({"input":"a","dimensions":0})", "dimensions"},
           {Endpoint::score, R"({"text_1":"a"})", "documents"},
           {Endpoint::score, R"({"text_2":"a"})", "queries"},
           {Endpoint::score, R"({"text_1":["a","b"],"text_2":["a","b","c"]})", "queries"},
           {Endpoint::score, R"({"text_1":"a","queries":"b","text_2":"c"})", "queries"},
           {Endpoint::rerank, R"({"documents":["a"]})", "query"},
           {Endpoint::rerank, R"({"query":"a","documents":[{"image":"a"}]})", "documents[0]"}}) {
    EXPECT_EQ(param_of(endpoint, request), param) << request;
  }
  start(Endpoint::embeddings, R"({"input":"a","dimensions":5})");
  EXPECT_EQ(sink->error->param, "dimensions") << "the model has 4";
}

TEST_F(EmbeddingsTest, ScoreTextsByTheirCosine) {
  start(Endpoint::score, R"({"text_1":"query","text_2":["near","far"]})");
  ASSERT_EQ(generator.submitted.size(), 3u);
  give(0, {1, 0, 0, 0});
  give(1, {3, 4, 0, 0});
  give(2, {-2, 0, 0, 0});
  EXPECT_EQ(body()["data"], Json::parse(R"([{"index":0,"object":"score","score":0.6},{"index":1,"object":"score","score":-1.0}])"));
}

TEST_F(EmbeddingsTest, ScorePairsOfTexts) {
  start(Endpoint::score, R"({"queries":["a","b"],"documents":["c","d"]})");
  give(0, {1, 0, 0, 0});
  give(1, {0, 1, 0, 0});
  give(2, {1, 0, 0, 0});
  give(3, {1, 0, 0, 0});
  EXPECT_EQ(body()["data"][0]["score"], 1);
  EXPECT_EQ(body()["data"][1]["score"], 0);
}

TEST_F(EmbeddingsTest, RankDocuments) {
  start(Endpoint::rerank, R"({"query":"q","documents":["far",{"text":"near"},"off"],"top_n":2})");
  give(0, {1, 0, 0, 0});
  give(1, {0, 1, 0, 0});
  give(2, {1, 0, 0, 0});
  give(3, {-1, 0, 0, 0});
  EXPECT_EQ(body()["results"], Json::parse(R"([{"index":1,"relevance_score":1.0,"document":{"text":"near"}},
                                               {"index":0,"relevance_score":0.0,"document":{"text":"far"}}])"));
}

}  // namespace
}  // namespace slora
