// Swagger UI on this server's own document.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, docExpansion: "list", validatorUrl: null });
