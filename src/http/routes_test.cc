#include "http/routes.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

RouteTable table_of_routes() {
  return RouteTable({{"GET", "/v1/models", Role::user, {}},
                     {"POST", "/v1/completions", Role::user, {}},
                     {"GET", "/health", Role::open, {}},
                     {"POST", "/health", Role::open, {}},
                     {"GET", "/v1/models/{model}", Role::user, {}}});
}

TEST(RouteTable, FindsExactlyTheRegisteredPaths) {
  const RouteTable routes = table_of_routes();
  const Result<const Route*> found = routes.find("GET", "/v1/models");
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)->role, Role::user);
  for (const char* path :
       {"/", "", "/v1/models/", "//v1/models", "/v1/./models", "/v1/x/../models", "/v1%2fmodels", "/V1/models", "/v1/models%00"}) {
    const Result<const Route*> other = routes.find("GET", path);
    ASSERT_FALSE(other) << path;
    EXPECT_EQ(other.error().code, "not_found") << path;
  }
}

TEST(RouteTable, TakesTheRestOfAPathForAPartInBraces) {
  const RouteTable routes = table_of_routes();
  for (const char* path : {"/v1/models/sql", "/v1/models/org/sql", "/v1/models/%2e%2e"}) {
    const Result<const Route*> found = routes.find("GET", path);
    ASSERT_TRUE(found) << path;
    EXPECT_EQ((*found)->path, "/v1/models/{model}");
    EXPECT_EQ((*found)->fixed_path(), "/v1/models/");
  }
  EXPECT_EQ(routes.find("GET", "/v1/models/").error().code, "not_found");
  EXPECT_EQ(routes.find("POST", "/v1/models/sql").error().param, "GET, HEAD");
}

TEST(RouteTable, TakesHeadWhereGetIsTaken) {
  const RouteTable routes = table_of_routes();
  const Result<const Route*> models = routes.find("HEAD", "/v1/models");
  ASSERT_TRUE(models);
  EXPECT_EQ((*models)->role, Role::user);
  EXPECT_FALSE(routes.find("HEAD", "/v1/completions"));
}

TEST(RouteTable, NamesTheMethodsOfAPath) {
  const RouteTable routes = table_of_routes();
  const Result<const Route*> wrong = routes.find("DELETE", "/health");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, "method_not_allowed");
  EXPECT_EQ(wrong.error().param, "GET, HEAD, POST");
}

}  // namespace
}  // namespace slora
