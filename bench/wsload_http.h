// The HTTP requests of wsload.c and what comes back, which includes this file where it has all that is used here.
//
// A request has the fields that a browser sends on a visit, without Accept-Encoding: what compression costs is another question.
// The body of every response, and of a POST, is "Hello, World!" again and again, cut off at PAYLOAD bytes. A response may come with
// Content-Length or in chunks (RFC 9112 sections 6 and 7); whatever else it is, anything but a 200 with that body as text/plain on a
// connection that stays open ends the run with 1.

typedef struct response {
  enum { IN_HEAD, IN_BODY, IN_CHUNK_SIZE, IN_CHUNK, IN_CHUNK_END, IN_TRAILER } at;
  size_t need; // bytes of the body, or of this chunk, that are missing
  size_t done; // bytes of the body that are here
  size_t line; // bytes of this line, where lines are counted
  char *head;  // one that came in pieces
  size_t headlen;
} response;

static char *hello_body;
static size_t hello_length, response_bytes;
// The last head that was looked at: one that is the same byte by byte needs no second look.
static char known_head[HEAD_LIMIT + 1];
static size_t known_length;
static int known_chunked;

static void build_requests(size_t pay) {
  static const char text[] = "Hello, World!";
  char head[2048];
  int posts = mode == 'p';
  int length = snprintf(head, sizeof head,
                        "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) wsload\r\n"
                        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
                        "Cookie: session=0123456789abcdef; theme=dark\r\nConnection: keep-alive\r\n",
                        posts ? "POST" : "GET", path, port);
  if (posts) length += snprintf(head + length, sizeof head - length, "Content-Type: text/plain\r\nContent-Length: %zu\r\n", pay);
  length += snprintf(head + length, sizeof head - length, "\r\n");
  if (length >= (int)sizeof head) fail("the path is too long", path);
  hello_length = pay;
  hello_body = malloc(pay + 1);
  for (size_t i = 0; i < pay; i++) hello_body[i] = text[i % (sizeof text - 1)];
  size_t one = length + (posts ? pay : 0);
  batchlen = one * pipeline;
  batch = malloc(batchlen);
  for (int i = 0; i < pipeline; i++) {
    memcpy(batch + i * one, head, length);
    if (posts) memcpy(batch + i * one + length, hello_body, pay);
  }
}

// The value of a field, in `value`; 0 if there is none. A field that is there twice is not accepted.
static int field(const char *head, const char *name, char *value, size_t size) {
  int found = 0;
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n") + 2; *line && *line != '\r'; line = strstr(line, "\r\n") + 2) {
    if (strncasecmp(line, name, length) || line[length] != ':') continue;
    if (found++) fail("a field of the response is there twice", head);
    const char *from = line + length + 1;
    while (*from == ' ') from++;
    size_t many = strstr(line, "\r\n") - from;
    if (many >= size) fail("a field of the response is too long", head);
    memcpy(value, from, many);
    value[many] = 0;
  }
  return found;
}

// Looks at a whole head, in `known_head`.
static void check_head(void) {
  char value[256], wanted[32];
  if (strncmp(known_head, "HTTP/1.1 200", 12)) fail("the response is not 200", known_head);
  if (!field(known_head, "Content-Type", value, sizeof value) || strncasecmp(value, "text/plain", 10)) {
    fail("the response is no text/plain", known_head);
  }
  if (field(known_head, "Connection", value, sizeof value) && strcasecmp(value, "keep-alive")) fail("the connection does not stay open", known_head);
  if (field(known_head, "Content-Encoding", value, sizeof value)) fail("the response is compressed", known_head);
  known_chunked = field(known_head, "Transfer-Encoding", value, sizeof value);
  if (known_chunked && strcasecmp(value, "chunked")) fail("the transfer coding is unknown", known_head);
  int has_length = field(known_head, "Content-Length", value, sizeof value);
  if (has_length == known_chunked) fail("the length of the response is not clear", known_head);
  snprintf(wanted, sizeof wanted, "%zu", hello_length);
  if (has_length && strcmp(value, wanted)) fail("the length of the response is wrong", known_head);
}

// Takes bytes of a head. Returns how many belong to it.
static size_t take_head(response *a, const char *p, size_t r) {
  size_t used = known_length;
  if (a->headlen > 0 || r < used || used == 0 || memcmp(p, known_head, used)) {
    if (!a->head) a->head = malloc(HEAD_LIMIT + 1);
    size_t before = a->headlen, many = r < HEAD_LIMIT - before ? r : HEAD_LIMIT - before;
    memcpy(a->head + before, p, many);
    size_t from = before < 3 ? 0 : before - 3;
    char *end = memmem(a->head + from, before + many - from, "\r\n\r\n", 4);
    if (!end) {
      if (before + many == HEAD_LIMIT) fail("the head of the response has no end", NULL);
      a->headlen = before + many;
      return many;
    }
    known_length = end + 4 - a->head;
    memcpy(known_head, a->head, known_length);
    known_head[known_length] = 0;
    if (strlen(known_head) != known_length) fail("the head of the response has a NUL", known_head);
    check_head();
    used = known_length - before;
    a->headlen = 0;
  }
  a->done = a->line = 0;
  a->need = known_chunked ? 0 : hello_length;
  a->at = known_chunked ? IN_CHUNK_SIZE : IN_BODY;
  return used;
}

// Takes bytes of the body, or of a chunk. Returns how many belong to it.
static size_t take_body(response *a, const char *p, size_t r) {
  size_t many = r < a->need ? r : a->need;
  if (many > hello_length - a->done) fail("the body is too long", NULL);
  if (memcmp(p, hello_body + a->done, many)) fail("the body is wrong", NULL);
  a->done += many;
  a->need -= many;
  return many;
}

// The size of a chunk, digit by digit. Extensions are not expected.
static void take_size(response *a, char c) {
  a->line++;
  if (c == '\r') return;
  if (c == '\n') {
    if (a->line < 3) fail("a chunk has no size", NULL);
    a->line = 0;
    a->at = a->need > 0 ? IN_CHUNK : IN_TRAILER;
    return;
  }
  if (a->line > 9 || !memchr("0123456789abcdefABCDEF", c, 22)) fail("the size of a chunk is malformed", NULL);
  a->need = a->need * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

// Bytes that came back on a connection: the expected responses?
static void take_responses(conn *c, size_t r) {
  response *a = c->response;
  response_bytes += r;
  for (const char *p = sink, *stop = sink + r; p < stop;) {
    if (c->want == 0) fail("more came back than was asked for", NULL);
    size_t left = stop - p;
    int over = 0;
    if (a->at == IN_HEAD) p += take_head(a, p, left);
    else if (a->at == IN_BODY) p += take_body(a, p, left);
    else if (a->at == IN_CHUNK_SIZE) take_size(a, *p++);
    else if (a->at == IN_CHUNK) {
      p += take_body(a, p, left);
      if (a->need == 0) a->at = IN_CHUNK_END;
    } else if (a->at == IN_CHUNK_END) {
      if (*p++ != "\r\n"[a->line++]) fail("a chunk does not end", NULL);
      if (a->line == 2) a->line = 0, a->at = IN_CHUNK_SIZE;
    } else if (*p++ != '\n') {
      if (p[-1] != '\r') a->line++; // a trailer field
    } else if (a->line > 0) {
      a->line = 0;
    } else {
      over = 1;
    }
    if (a->at == IN_BODY && a->need == 0) over = 1;
    if (!over) continue;
    if (a->done != hello_length) fail("the body is too short", NULL);
    a->at = IN_HEAD;
    if (--c->want == 0) c->batches++;
  }
}
