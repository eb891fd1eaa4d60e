// Shows the document that this server hands out, as that of the place where this page is: also below a path of a proxy.
const root = new URL('..', window.location.href).pathname.replace(/\/$/, '') || '/';
const answer = await fetch('../openapi.json');
const spec = await answer.json();
SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: root }] },
  dom_id: '#swagger-ui',
  deepLinking: true,
  // Nobody else is asked whether the document is right.
  validatorUrl: null,
});
