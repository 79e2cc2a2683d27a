run lambda { |env|
  [200, { 'Content-Type' => 'text/plain' },
   ["hello from pid #{$$}, generation #{ENV['SERVER_STARTER_GENERATION']}\n"]]
}
